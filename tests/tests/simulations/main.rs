//! The domain and its routers in virtual time: random fixtures against a model, faults at every call, and whole weeks of
//! deliveries, over stores, buckets and queues in memory.

mod admission;
mod alarms;
mod browsing;
mod event_viewer;
mod fan_out;
mod formats;
mod lag;
mod log_regressions;
mod model;
mod openapi;
mod portal;
mod reading_contract;
mod shipping_faults;
mod shipping_simulation;
