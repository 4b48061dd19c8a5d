//! Stored runs over time, by scenario and target: for looking at, never for a verdict. Machines and days
//! differ; what is compared has to run interleaved.
