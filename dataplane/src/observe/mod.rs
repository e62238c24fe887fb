//! What the dataplane reports, for people and programs.

mod flow_line;
mod frame_line;

pub use flow_line::{addresses, flow_line};
pub use frame_line::frame_line;
