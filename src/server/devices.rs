//! What a vendor's own backend does with its devices: lets one in with a parent's code, and takes
//! one away.

use super::knock::Visit;
use super::rest::{self, Asked, object};
use super::{App, edge};
use crate::authority::admit::Wants;
use crate::authority::calls::Call;
use crate::authority::calls::device::{DeviceCall, REGISTER, REMOVE};
use crate::authority::refusal::Cause;
use crate::secret::Secret;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::Request;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// The body of a registration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Register {
    device_id: String,
    pairing_code: String,
}

pub(super) async fn register(
    State(app): State<Arc<App>>,
    visit: Visit,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = edge::read(&app, &visit.source, body).await;
    let call = body.and_then(|bytes| registration(&bytes));
    let asked = Asked {
        tool: REGISTER,
        wants: Wants::Vendor,
        call,
    };
    rest::answer(&app, &visit, &parts, asked).await
}

fn registration(bytes: &[u8]) -> Result<Call, Cause> {
    let body = Value::Object(object(bytes)?);
    let body: Register = serde_json::from_value(body).map_err(|_| Cause::RequestMalformed)?;
    Ok(Call::Device(Box::new(DeviceCall::Register {
        device_id: body.device_id,
        pairing_code: Secret::new(body.pairing_code),
    })))
}

/// A device may be called `register` like any other.
pub(super) async fn remove_register(
    app: State<Arc<App>>,
    visit: Visit,
    request: Request<Body>,
) -> Response {
    remove(app, visit, Ok(Path("register".to_owned())), request).await
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    visit: Visit,
    path: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Response {
    let (parts, _) = request.into_parts();
    let call = match path {
        Ok(Path(device_id)) => Ok(Call::Device(Box::new(DeviceCall::Remove { device_id }))),
        Err(_) => Err(Cause::RequestMalformed),
    };
    let asked = Asked {
        tool: REMOVE,
        wants: Wants::Vendor,
        call,
    };
    rest::answer(&app, &visit, &parts, asked).await
}
