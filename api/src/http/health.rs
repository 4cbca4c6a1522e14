//! For load balancers and monitoring: is the process alive, can it serve, how is it doing.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::actions::Actions;
use crate::domain::causes::causes;

/// `/livez`, `/readyz`, `/metrics`.
pub fn router(actions: Actions) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(actions)
}

/// What a copy says of itself.
pub const COPIED: &str = "this database is from another installation than the one that is at home on this host: nothing is \
                          exchanged with any peer until `linkspan survivor` is run here, and the instance started again";

async fn ready(State(actions): State<Actions>) -> Response {
    let why = match actions.is_ready().await {
        // Its doors are open: people are to see why it does nothing.
        Ok(true) if actions.profile().copied => return format!("ready, but {COPIED}\n").into_response(),
        Ok(true) => return "ready\n".into_response(),
        Ok(false) => "the database does not take what is written\n",
        Err(error) => {
            tracing::warn!(error = causes(&error), "not ready");
            "the database does not answer\n"
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

/// The Prometheus text format, version 0.0.4.
async fn metrics(State(actions): State<Actions>) -> Response {
    let Ok((waiting, dead)) = actions.job_counts().await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut body = format!(
        "# HELP linkspan_jobs_waiting Pieces of work that wait or run.\n\
         # TYPE linkspan_jobs_waiting gauge\n\
         linkspan_jobs_waiting {waiting}\n\
         # HELP linkspan_jobs_dead Pieces of work that were given up.\n\
         # TYPE linkspan_jobs_dead gauge\n\
         linkspan_jobs_dead {dead}\n\
         # HELP linkspan_directions Directions of the connections that this node watches, by status.\n\
         # TYPE linkspan_directions gauge\n"
    );
    for (way, status, count) in actions.directions() {
        let (way, status) = (way.as_str().to_lowercase(), status.as_str().to_lowercase());
        body += &format!("linkspan_directions{{direction=\"{way}\",status=\"{status}\"}} {count}\n");
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
}
