//! thalweg beside other nameservers and the bare limit: how much CPU time a query costs each of them.

pub mod datagrams;
pub mod generator;
pub mod geography;
pub mod limit;
pub mod machine;
pub mod measure;
pub mod report;
pub mod rounds;
pub mod samples;
pub mod servers;
pub mod sets;
pub mod streams;
pub mod verdicts;
pub mod workspace;
pub mod zones;
