//! Ark's errors: `{"error":{"code","message","param","type"}}`, always all four, as its documents
//! (volcengine.com/docs/82379/1299023) and its users quote them. The stand-in's own words follow
//! Ark's sentence, so that a caller's matching on code, type and param is exercised.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Value, json};

/// A refusal in Ark's shape.
#[derive(Debug, Clone)]
pub(super) struct ArkError {
    status: StatusCode,
    code: &'static str,
    kind: &'static str,
    message: String,
    param: String,
}

const BAD_REQUEST: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "BadRequest");

impl ArkError {
    fn new(
        (status, kind): (StatusCode, &'static str),
        code: &'static str,
        message: String,
        param: &str,
    ) -> Self {
        Self {
            status,
            code,
            kind,
            message,
            param: param.to_owned(),
        }
    }

    /// A parameter that is there and wrong.
    pub(super) fn invalid(param: &str, why: &str) -> Self {
        let message = if param.is_empty() {
            format!("One or more parameters specified in the request are not valid: {why}.")
        } else {
            format!("The parameter `{param}` specified in the request are not valid: {why}.")
        };
        Self::new(BAD_REQUEST, "InvalidParameter", message, param)
    }

    /// A parameter that is not there.
    pub(super) fn missing(param: &str) -> Self {
        let message = format!("The request failed because it is missing `{param}` parameter.");
        Self::new(BAD_REQUEST, "MissingParameter", message, param)
    }

    /// A response to continue that is unknown, deleted, expired, never stored or another key's.
    pub(super) fn no_previous(id: &str) -> Self {
        Self::new(
            BAD_REQUEST,
            "InvalidParameter.PreviousResponseNotFound",
            format!("Previous response with id {id} not found."),
            "previous_response_id",
        )
    }

    /// No key, or not the one.
    pub(super) fn unauthorized() -> Self {
        Self::new(
            (StatusCode::UNAUTHORIZED, "Unauthorized"),
            "AuthenticationError",
            "The API key or AK/SK in the request is missing or invalid.".to_owned(),
            "",
        )
    }

    /// A caller that came by a name which is not this machine's.
    pub(super) fn host() -> Self {
        Self::new(
            (StatusCode::FORBIDDEN, "Forbidden"),
            "AccessDenied",
            "Without a key file the stand-in answers only to localhost and loopback addresses."
                .to_owned(),
            "",
        )
    }

    /// A stored response to read or delete that is not there.
    pub(super) fn no_response(id: &str) -> Self {
        Self::new(
            (StatusCode::NOT_FOUND, "NotFound"),
            "NotFound.Response",
            format!("The specified response {id} is not found."),
            "",
        )
    }

    /// A path or method that the stand-in does not have.
    pub(super) fn no_route() -> Self {
        Self::new(
            (StatusCode::NOT_FOUND, "NotFound"),
            "NotFound",
            "The stand-in has POST /api/v3/responses, and GET and DELETE of one response."
                .to_owned(),
            "",
        )
    }

    /// More at once than the stand-in takes.
    pub(super) fn busy() -> Self {
        Self::new(
            (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            "RequestBurstTooFast",
            "The stand-in has as many requests under way as it takes.".to_owned(),
            "",
        )
    }

    /// What Ark calls an error of its own.
    pub(super) fn internal(message: String) -> Self {
        Self::new(
            (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
            "InternalServiceError",
            message,
            "",
        )
    }

    /// Ark ends each message with the request's id.
    pub(super) fn of_request(mut self, id: &str) -> Self {
        self.message = format!("{} Request id: {id}", self.message);
        self
    }

    /// What a response with status `failed` carries as `error`.
    pub(super) fn in_response(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }
}

impl IntoResponse for ArkError {
    fn into_response(self) -> Response {
        let body = json!({"error": {
            "code": self.code, "message": self.message, "param": self.param, "type": self.kind,
        }});
        (self.status, Json(body)).into_response()
    }
}
