//! The body of a request, read before anybody looks at it: an answer that overtakes the body ends in a reset of the stream,
//! which some clients take for the whole answer.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::timeout;

use crate::serve::stream::{Place, Refused};
use crate::wire::MAX_STREAM;

/// Octets of a body that is too long which are read all the same, so that its sender hears why it is refused.
const MAX_SKIPPED: usize = 256 << 10;
/// How long that may take.
const SKIP: Duration = Duration::from_secs(1);

/// The request with its body whole; else what it is told instead.
pub(super) async fn whole(request: Request<Incoming>, place: &Place) -> Result<Request<Body>, Response> {
    let (head, body) = request.into_parts();
    if body.is_end_stream() {
        return Ok(Request::from_parts(head, Body::empty()));
    }
    let refused = match timeout(place.limits().idle, read(body, place)).await {
        Ok(Ok(octets)) => return Ok(Request::from_parts(head, Body::from(octets))),
        Ok(Err(refused)) => refused,
        Err(_) => (StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
    };
    Err(refused.into_response())
}

async fn read(mut body: Incoming, place: &Place) -> Result<Vec<u8>, (StatusCode, &'static str)> {
    const TOO_LONG: (StatusCode, &str) = (StatusCode::PAYLOAD_TOO_LARGE, "a DNS message has 65535 octets at most\n");
    if body.size_hint().lower() > MAX_STREAM as u64 {
        skip(body, 0).await;
        return Err(TOO_LONG);
    }
    let mut gathered = place.gather(0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (StatusCode::BAD_REQUEST, "the body has ended too early\n"))?;
        let Ok(octets) = frame.into_data() else { continue };
        if let Err(refused) = gathered.add(&octets) {
            drop(gathered);
            skip(body, octets.len()).await;
            return Err(match refused {
                Refused::TooLong => TOO_LONG,
                Refused::Busy => (StatusCode::SERVICE_UNAVAILABLE, "too many long queries are being read\n"),
            });
        }
    }
    Ok(gathered.octets)
}

/// Reads on, and keeps nothing.
async fn skip(mut body: Incoming, mut skipped: usize) {
    let rest = async {
        while skipped < MAX_SKIPPED
            && let Some(Ok(frame)) = body.frame().await
        {
            if let Some(octets) = frame.data_ref() {
                skipped += octets.len();
            }
        }
    };
    // Who takes longer is told all the same.
    let _ = timeout(SKIP, rest).await;
}
