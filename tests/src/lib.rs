//! Claims about the whole: integration, simulation, golden, tidy.
