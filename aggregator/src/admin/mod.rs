//! The administration interface: what operators ask over the Unix socket.

mod answer;
mod bodies;
mod diagnostics;
mod routes;

pub use answer::AnswerBody;
pub use bodies::{
    DeviceCounts, LogHead, ModelBody, ProgressBody, RoundCounts, RoundLine, RoundsBody,
    StartRequest, StartedBody, StatusBody, TaskBody, TasksBody,
};
pub use diagnostics::{DiagnosticsBody, Finding, diagnose};
pub use routes::router;
