//! XDP: one program an interface, in the driver or in the stack.

use aya::programs::links::FdLink;
use aya::programs::{ProgramError, Xdp, XdpMode, loaded_programs};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::EbpfError;
use crate::backend::Interface;

/// A program that runs on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OnInterface {
    /// Its id.
    pub id: u32,
    /// Its name as the kernel keeps it.
    pub name: String,
    /// How it is attached.
    pub how: &'static str,
}

/// Attaches in the driver; where the driver cannot, in the stack, and says so. Drivers have many
/// ways to say that they cannot (queues, frame sizes, offloads).
pub(super) fn attach(
    program: &mut Xdp,
    interface: &Interface,
) -> Result<(FdLink, &'static str), EbpfError> {
    let action = || format!("attach to `{}` at xdp", interface.name);
    let modes = [(XdpMode::Driver, "xdp native"), (XdpMode::Skb, "xdp generic")];
    let mut refused = None;
    for (mode, how) in modes {
        match program.attach_to_if_index(interface.index, mode) {
            Ok(id) => {
                let link = program.take_link(id).map_err(EbpfError::program(action()))?;
                let link = link.try_into().map_err(|source| EbpfError::Link {
                    action: format!("cannot {}", action()),
                    source,
                })?;
                return Ok((link, how));
            }
            Err(error) if is_final(&error) => return Err(EbpfError::program(action())(error)),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match refused {
        Some(error) => Err(EbpfError::program(action())(error)),
        None => Err(EbpfError::NoInterface(interface.name.clone())),
    }
}

/// Whether another mode would not help either.
fn is_final(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    let number = error.io_error.raw_os_error();
    [libc::EPERM, libc::ENODEV, libc::EBUSY, libc::EEXIST].map(Some).contains(&number)
}

/// The XDP program on an interface, if there is one.
pub(super) fn program_on(ifindex: u32, interface: &str) -> Result<Vec<OnInterface>, EbpfError> {
    let gone = || EbpfError::NoInterface(interface.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(EbpfError::file("start", "a netlink connection".as_ref()))?;
    let attached = runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(EbpfError::file("open", "a netlink connection".as_ref()))?;
        tokio::spawn(connection);
        let mut links = handle.link().get().match_index(ifindex).execute();
        let message = links.try_next().await.map_err(|_| gone())?.ok_or_else(gone)?;
        Ok::<_, EbpfError>(attached(&message.attributes))
    })?;
    let Some((id, how)) = attached else { return Ok(Vec::new()) };
    let info = loaded_programs().flatten().find(|info| info.id() == id);
    let name = info.map(|info| String::from_utf8_lossy(info.name()).into_owned());
    Ok(vec![OnInterface { id, name: name.unwrap_or_else(|| "unknown".to_owned()), how }])
}

fn attached(attributes: &[LinkAttribute]) -> Option<(u32, &'static str)> {
    let xdp = attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    })?;
    let id = xdp.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) if *id != 0 => Some(*id),
        _ => None,
    })?;
    let how = xdp.iter().find_map(|attribute| match attribute {
        LinkXdp::Attached(XdpAttached::SocketBuffer) => Some("xdp generic"),
        LinkXdp::Attached(XdpAttached::Driver) => Some("xdp native"),
        LinkXdp::Attached(XdpAttached::Hardware) => Some("xdp offloaded"),
        _ => None,
    });
    Some((id, how.unwrap_or("xdp")))
}
