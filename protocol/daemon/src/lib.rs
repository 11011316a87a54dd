//! What the three programs do alike: command line, configuration, errors, logs, readiness, HTTP.
