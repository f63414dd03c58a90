//! A proxy that can change anything of an answer: its status, its headers, its body.

use crate::it::support::{Server, text, wait};
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::sync::{Arc, Mutex};

/// What was asked.
pub(super) struct Asked {
    pub(super) method: String,
    /// With its query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}

/// What is answered.
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Said {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(super) fn put(&mut self, name: &'static str, value: &str) {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.insert(HeaderName::from_static(name), value);
    }

    /// Changes the JSON, whether it comes as it is or in an event.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut json = self.json();
        if !json.is_null() {
            change(&mut json);
            self.body = json.to_string();
        }
    }
}

/// Makes something else of a true answer.
pub(super) type Lie = Arc<dyn Fn(&Asked, &mut Said) + Send + Sync>;

pub(super) fn lie(what: impl Fn(&Asked, &mut Said) + Send + Sync + 'static) -> Lie {
    Arc::new(what)
}

/// A liar on an address of its own.
pub(super) struct Front {
    pub(super) url: String,
    inner: Arc<Inner>,
}

struct Inner {
    upstream: String,
    http: reqwest::Client,
    lie: Mutex<Lie>,
}

impl Front {
    /// One that says the truth.
    pub(super) fn before(server: &Server) -> Self {
        Self::of(server.base.clone(), server.http.clone())
    }

    /// One before anything else.
    pub(super) fn of(upstream: String, http: reqwest::Client) -> Self {
        let inner = Arc::new(Inner {
            upstream,
            http,
            lie: Mutex::new(lie(|_, _| ())),
        });
        let app = Self::router(&inner);
        let url = wait(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            tokio::spawn(async move { axum::serve(listener, app).await });
            url
        });
        Self { url, inner }
    }

    /// What answers, for a listener that speaks TLS.
    pub(super) fn app(&self) -> axum::Router {
        Self::router(&self.inner)
    }

    fn router(inner: &Arc<Inner>) -> axum::Router {
        axum::Router::new()
            .fallback(forward)
            .with_state(Arc::clone(inner))
    }

    pub(super) fn tells(&self, lie: Lie) {
        *self.inner.lie.lock().unwrap() = lie;
    }
}

async fn forward(State(front): State<Arc<Inner>>, request: axum::extract::Request) -> Response {
    let lie = Arc::clone(&front.lie.lock().unwrap());
    let (parts, body) = request.into_parts();
    let asked = axum::body::to_bytes(body, 1 << 21).await.unwrap();
    let path = parts.uri.path_and_query().unwrap().to_string();
    let mut headers = parts.headers;
    for own in ["host", "content-length", "connection"] {
        headers.remove(own);
    }
    let upstream = front
        .http
        .request(parts.method.clone(), format!("{}{path}", front.upstream))
        .headers(headers.clone())
        .body(asked.clone());
    let mut answer = upstream.send().await.unwrap();
    let asked = Asked {
        method: parts.method.to_string(),
        path,
        headers,
        body: text(&asked),
    };
    let mut heads = std::mem::take(answer.headers_mut());
    for own in ["content-length", "transfer-encoding"] {
        heads.remove(own);
    }
    let mut said = Said {
        status: answer.status().as_u16(),
        headers: heads,
        body: String::new(),
    };
    if asked.path.starts_with("/v1/audit/stream") {
        return stream(lie, asked, said, answer);
    }
    said.body = answer.text().await.unwrap();
    lie(&asked, &mut said);
    built(&said, Body::from(said.body.clone()))
}

/// A stream never ends, so it is lied about piece by piece.
fn stream(lie: Lie, asked: Asked, said: Said, answer: reqwest::Response) -> Response {
    let response = built(&said, Body::empty());
    let pieces = futures_util::stream::unfold((answer, asked, said), move |mut state| {
        let lie = Arc::clone(&lie);
        async move {
            let piece = state.0.chunk().await.ok()??;
            state.2.body = text(&piece);
            lie(&state.1, &mut state.2);
            let body = state.2.body.clone();
            Some((Ok::<_, std::convert::Infallible>(body), state))
        }
    });
    let (head, _) = response.into_parts();
    Response::from_parts(head, Body::from_stream(pieces))
}

fn built(said: &Said, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(said.status).unwrap();
    *response.headers_mut() = said.headers.clone();
    response
}
