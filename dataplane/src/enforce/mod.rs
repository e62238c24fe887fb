//! Plan, apply, read back, take back.
//!
//! Goals: (a) a failure leaves the host as it was; (b) one change at a time; (c) whatever is said
//! of the host was read from it.
//!
//! An apply finds out where workloads are ([`place`]) before it touches anything, hands the
//! backend the state the host shall be in, and writes down what the numbers of that state stand
//! for. What it prints is its [`Summary`].

mod apply;
mod choice;
mod desired;
mod error;
mod host;
mod installed;
mod lock;
mod off;
mod paths;
mod placement;
mod privilege;
mod rendered;
mod status;
mod summary;
mod wires;

pub use self::apply::{HookChoice, Options, apply};
pub use self::choice::BackendChoice;
pub use self::desired::desired;
pub use self::error::EnforceError;
pub use self::host::{
    Hop, Host, HostAddress, HostError, HostView, Interface, LinkLayer, Route, RouteKind, XdpMode,
    XdpProgram,
};
pub use self::installed::InstalledPolicies;
pub use self::off::{Removed, off};
pub use self::paths::Paths;
pub use self::placement::{
    InterfaceRef, Place, Placement, PlacementError, PlacementErrors, PlacementWarning, Role,
    described, place,
};
pub use self::rendered::{RenderError, RenderedText, Rendering, rendered};
pub use self::status::{RuleStatus, Status, readable_status, status};
pub use self::summary::{Change, Summary};
pub use self::wires::{Ends, WireError, WireWarning, Wires, wires};
