//! `task create|list|show`.

use std::path::Path;

use axum::http::Method;
use sealsum_daemon::cli::Shown;
use sealsum_daemon::{Failure, files};

use super::Endpoint;
use super::endpoint::segment;
use crate::admin::{TaskBody, TasksBody};
use crate::tasks;

impl Endpoint {
    /// Registers a signed task.
    ///
    /// # Errors
    /// When the file is no signed task, or the aggregator refuses it.
    pub fn task_create(&self, signed: &Path) -> Result<Shown<TaskBody>, Failure> {
        let bytes = files::read(signed, tasks::SIGNED_TASK_LIMIT)?;
        tasks::decode_signed(&bytes, &signed.display().to_string())?;
        let task: TaskBody = self.send(Method::POST, "/v1/tasks", bytes)?;
        let text = format!("registered {} version {}", task.name, task.version);
        Ok(Shown::new(task, text))
    }

    /// Lists the tasks.
    ///
    /// # Errors
    /// When the aggregator does not run.
    pub fn task_list(&self) -> Result<Shown<TasksBody>, Failure> {
        let tasks: TasksBody = self.get("/v1/tasks")?;
        let text = tasks.text();
        Ok(Shown::new(tasks, text))
    }

    /// Shows a task.
    ///
    /// # Errors
    /// `not_found`, or when the aggregator does not run.
    pub fn task_show(&self, name: &str) -> Result<Shown<TaskBody>, Failure> {
        let task: TaskBody = self.get(&format!("/v1/tasks/{}", segment(name)))?;
        let text = task.text();
        Ok(Shown::new(task, text))
    }
}
