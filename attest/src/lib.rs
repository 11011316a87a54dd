//! Evidence and judgement: what a device must show to be enrolled, and the checks on it.
