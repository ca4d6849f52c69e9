//! A proxy that cuts connections: before the server receives a request, or after it has processed it.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::{Body, Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::JoinSet};

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    No,
    /// Before the server receives the request.
    Request,
    /// After the server has responded, before the response.
    WholeResponse,
    /// In the middle of the response.
    HalfResponse,
}

pub(crate) struct CuttingProxy {
    url: String,
    processed: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl CuttingProxy {
    /// Starts a proxy to `upstream` that applies `cuts` to its requests in turn, again and again.
    pub(crate) async fn start(upstream: String, cuts: &'static [Cut]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let processed = Arc::new(AtomicU64::new(0));
        let forward = Arc::new(Forward {
            upstream,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            cuts,
            turn: AtomicUsize::new(0),
            processed: Arc::clone(&processed),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let forward = Arc::clone(&forward);
                let service = service_fn(move |request| Arc::clone(&forward).answer(request));
                connections.spawn(async move {
                    // A connection that was cut ends in an error.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { url, processed, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Returns how many requests the server has processed.
    pub(crate) fn processed(&self) -> u64 {
        self.processed.load(Ordering::SeqCst)
    }
}

struct Forward {
    upstream: String,
    http: reqwest::Client,
    cuts: &'static [Cut],
    turn: AtomicUsize,
    processed: Arc<AtomicU64>,
}

impl Forward {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Response<Cuttable>> {
        let cut = self.cuts[self.turn.fetch_add(1, Ordering::SeqCst) % self.cuts.len()];
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if cut == Cut::Request {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let url = format!("{}{}", self.upstream, parts.uri);
        let mut headers = parts.headers;
        headers.remove("host");
        let forwarded = self.http.request(parts.method, url).headers(headers).body(body).send().await;
        let forwarded = forwarded.map_err(io::Error::other)?;
        let (status, headers) = (forwarded.status(), forwarded.headers().clone());
        let body = forwarded.bytes().await.map_err(io::Error::other)?;
        self.processed.fetch_add(1, Ordering::SeqCst);
        let body = match cut {
            Cut::WholeResponse => return Err(io::ErrorKind::ConnectionReset.into()),
            Cut::HalfResponse => Cuttable::Half(Some(body.slice(..body.len() / 2))),
            _ => Cuttable::Whole(Full::new(body)),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// A body that may end early.
enum Cuttable {
    Whole(Full<Bytes>),
    /// These bytes, then the connection breaks.
    Half(Option<Bytes>),
}

impl Body for Cuttable {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(context).map_err(|error: Infallible| match error {}),
            Self::Half(bytes) => Poll::Ready(Some(match bytes.take() {
                Some(bytes) => Ok(Frame::data(bytes)),
                None => Err(io::ErrorKind::ConnectionReset.into()),
            })),
        }
    }
}
