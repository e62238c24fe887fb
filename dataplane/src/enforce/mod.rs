//! Plan, apply, read back, take back.

mod host;
mod placement;

pub use self::host::{
    Hop, Host, HostAddress, HostError, HostView, Interface, LinkLayer, Route, RouteKind, XdpMode,
    XdpProgram,
};
pub use self::placement::{
    InterfaceRef, Place, Placement, PlacementError, PlacementErrors, PlacementWarning, Role, place,
};
