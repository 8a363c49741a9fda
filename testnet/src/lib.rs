//! Several sites on one machine, with real hypervisors, and what may go wrong.
