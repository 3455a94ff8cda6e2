//! Traces while the relay runs: where spans go now, and what still sends those of earlier settings.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::settings;
use crate::metrics::Metrics;
use crate::net::client::Server;
use crate::net::otlp::Exporter;
use crate::net::tls;
use crate::telemetry::{Span, Spans};

/// At a stop, a collector may take so long for what is left.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// What sends spans.
#[derive(Default)]
pub(super) struct Traces {
    spans: Spans,
    /// Each ends by itself with the last who could record for it.
    exporters: JoinSet<()>,
    stop: CancellationToken,
}

/// Where spans will go.
pub(super) struct Prepared {
    spans: Spans,
    exporter: Option<(Exporter, mpsc::Receiver<Span>)>,
}

impl Prepared {
    /// What will take spans.
    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }
}

impl Traces {
    /// What takes spans now.
    pub(super) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// The same as now.
    pub(super) fn unchanged(&self) -> Prepared {
        Prepared { spans: self.spans.clone(), exporter: None }
    }

    /// As `settings` say. Nothing changes yet.
    pub(super) fn prepare(settings: Option<&settings::Traces>, metrics: &Metrics) -> anyhow::Result<Prepared> {
        let Some(traces) = settings else { return Ok(Prepared { spans: Spans::default(), exporter: None }) };
        let tls = tls::client_config(traces.ca.as_deref())?;
        let server = Server::of(&traces.url, tls, false)?;
        let exporter = Exporter::new(server, &traces.url, &traces.headers, traces.service.clone(), metrics.spans())?;
        let (spans, queue) = Spans::wanted(traces.sample, metrics.spans());
        Ok(Prepared { spans, exporter: Some((exporter, queue)) })
    }

    /// Sends spans there. Those that were recorded before still go where they went.
    pub(super) fn follow(&mut self, prepared: Prepared) {
        // Those that ended before are let go.
        while self.exporters.try_join_next().is_some() {}
        if let Some((exporter, queue)) = prepared.exporter {
            self.exporters.spawn(exporter.run(queue, self.stop.clone()));
        }
        self.spans = prepared.spans;
    }

    /// Sends what is left, for a bounded time.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        let all = async { while self.exporters.join_next().await.is_some() {} };
        if tokio::time::timeout(FLUSH_TIME, all).await.is_err() {
            tracing::warn!("the collector did not take the last spans in time");
        }
    }
}
