//! The dashboard: files that are the same for everybody, and the login. It shows what the API tells and has no way of its own.
//!
//! The files are part of the binary: plain HTML, CSS and JavaScript modules, in `assets/`. A browser takes nothing from elsewhere,
//! and what came from outside (a header, a body, an answer) can be text on a page and nothing else: the policy forbids scripts
//! and styles that are not files of this relay, and every way to turn text into elements.
//! Never here: anything of an event.

mod abilities;
mod assets;
mod login;

use std::sync::Arc;

use axum::extract::Request;
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};

use super::Context;
use super::auth::Door;
use assets::{ASSETS, FOLDER, Served};

/// Beside the files, what a browser may ask before somebody has logged in.
const OPEN_PATHS: [&str; 4] = ["/", "/session", "/login", "/logout"];

/// Whether everybody may ask for this path, with tokens, too.
pub(super) fn is_open(path: &str) -> bool {
    OPEN_PATHS.contains(&path) || path.starts_with(FOLDER)
}

/// `api` is the API with its state: what the dashboard can show is asked of it.
pub(super) fn routes(door: Arc<Door>, api: Router) -> Router<Arc<Context>> {
    let login = Router::new()
        .route("/session", get(login::session))
        .route("/login", post(login::login))
        .route("/logout", post(login::logout))
        .layer(Extension(api))
        .with_state(door);
    ASSETS.iter().fold(login, |router, asset| router.route(asset.path, serving(Served::new(asset))))
}

fn serving(served: Served) -> MethodRouter<Arc<Context>> {
    let served = Arc::new(served);
    get(move |request: Request| {
        let answer = served.answer(request.headers());
        async move { answer }
    })
}
