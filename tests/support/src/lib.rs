//! Guards and doubles for tests: a software TPM per test, processes that end with the test.
