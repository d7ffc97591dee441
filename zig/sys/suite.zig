//! One body of tests for every system.
