//! When to try again. Pure rules: the time and random numbers are arguments.

pub mod retry;
