//! The house rules: tests that read the repository itself.

#![cfg(test)]

mod house;
