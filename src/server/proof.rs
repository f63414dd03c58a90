//! The sealed log over HTTP: its keys for anyone, checkpoint and proofs for those who may read.

use super::audit::{Asking, refuse};
use super::{App, caps};
use crate::authority::calls::Answer;
use crate::authority::refusal::{Cause, Refusal};
use crate::authority::sealed::{NotProved, tell_anchor};
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::CACHE_CONTROL;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// Which entry, in which tree.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    event_id: Option<String>,
    seq: Option<u64>,
    size: Option<u64>,
}

/// From which tree to which.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Growth {
    from: u64,
    to: Option<u64>,
}

type Given<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

fn wanted<T>(given: Given<T>) -> Result<T, Cause> {
    given
        .map(|Query(asked)| asked)
        .map_err(|_| Cause::RequestMalformed)
}

fn answer(proved: Result<Value, NotProved>) -> Response {
    match proved.map_err(NotProved::into_problem) {
        Ok(proof) => axum::Json(proof).into_response(),
        Err(Ok(problem)) => caps::answer(&Answer::Invalid(problem)),
        Err(Err(refusal)) => refuse(&refusal),
    }
}

pub(super) async fn log_key(State(app): State<Arc<App>>) -> Response {
    match app.authority.log_key().await {
        Ok(keys) => {
            let cache = [(CACHE_CONTROL, "public, max-age=60")];
            (cache, axum::Json(keys)).into_response()
        }
        Err(refusal) => refuse(&refusal),
    }
}

pub(super) async fn checkpoint(State(app): State<Arc<App>>, asking: Asking) -> Response {
    let newest = async {
        asking.enter(Ok(None), false).await?;
        let signed = app.authority.last_checkpoint().await?;
        let signed = signed.ok_or(NotProved::NotSealed)?;
        let key = app.authority.signer(&signed.note).await?;
        let mut answer = signed.to_json(key.as_ref());
        tell_anchor(
            &mut answer,
            app.anchor,
            u32::try_from(app.seal_every.as_secs()).unwrap_or(u32::MAX),
            app.authority.last_anchor().await?.as_ref(),
        );
        Ok(answer)
    };
    answer(newest.await)
}

pub(super) async fn inclusion(
    State(app): State<Arc<App>>,
    asking: Asking,
    given: Given<Entry>,
) -> Response {
    let asked = wanted(given).and_then(|entry| match (entry.event_id, entry.seq) {
        (Some(id), None) => Ok((Err(id), entry.size)),
        (None, Some(seq)) => Ok((Ok(seq), entry.size)),
        _ => Err(Cause::RequestMalformed),
    });
    let proof = async {
        let known = asked.as_ref().map(|_| None).map_err(|cause| *cause);
        let reader = asking.enter(known, false).await?;
        let (place, size) = asked.map_err(Refusal::from)?;
        let reading = &reader.reading;
        let seq = match place {
            Ok(seq) if app.authority.may_see(reading, seq).await? => seq,
            Ok(_) => return Err(NotProved::NotThere),
            Err(id) => app.authority.place_of(reading, &id).await?,
        };
        let mut proof = app.authority.inclusion(seq, size).await?;
        if let Some(bytes) = app.authority.bytes_at(reading, seq).await? {
            proof["envelope"] = STANDARD.encode(bytes).into();
        }
        Ok(proof)
    };
    answer(proof.await)
}

pub(super) async fn consistency(
    State(app): State<Arc<App>>,
    asking: Asking,
    given: Given<Growth>,
) -> Response {
    let asked = wanted(given);
    let proof = async {
        let known = asked.as_ref().map(|_| None).map_err(|cause| *cause);
        asking.enter(known, false).await?;
        let asked = asked.map_err(Refusal::from)?;
        app.authority.consistency(asked.from, asked.to).await
    };
    answer(proof.await)
}
