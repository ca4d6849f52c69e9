//! The domain and its routers in virtual time: random runs against a model, faults at every call, and weeks of
//! deliveries, on stores, buckets and queues in memory.

mod admission;
mod alarms;
mod browsing;
mod checkpoints;
mod continuing;
mod event_viewer;
mod fan_out;
mod formats;
mod keys;
mod lag;
mod log_regressions;
mod maintenance;
mod model;
mod openapi;
mod planning;
mod portal;
mod producers;
mod reading_contract;
mod restore;
mod shipping_faults;
mod shipping_regressions;
mod shipping_simulation;
mod tails;
mod usage;
