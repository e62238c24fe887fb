//! Hooks: what is attached where, ours and others'.
//!
//! Links are pinned as `ifINDEX-HOOK`. A pinned link whose device is gone stays behind dead and
//! cannot be revived; it is told by its program not being among those of the interface, removed
//! and made anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::xdp::XdpLink;
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use nix::net::if_::if_indextoname;
use ringfence_common::abi::config::{AttachmentKey, Hook};

use super::expedite::Expedited;
use super::object::{Kernel, LoadedProgram, program_name};
use super::xdp::{self, OnInterface};
use super::{EbpfError, Pins};
use crate::backend::hook_name as name;
use crate::backend::{Arrival, Attached, Interface};

/// How long the kernel may take to detach a program.
const DETACHING: Duration = Duration::from_secs(2);

/// A program of somebody else on one of our interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The interface.
    pub interface: String,
    /// The hook.
    pub hook: Hook,
    /// The program's name.
    pub program: String,
    /// The program's id.
    pub id: u32,
}

/// Loads the programs that `interfaces` need.
pub(super) fn load(kernel: &mut Kernel, interfaces: &[Interface]) -> Result<(), EbpfError> {
    let is_needed =
        |hook: &Hook| interfaces.iter().any(|interface| interface.hooks().contains(hook));
    let hooks = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress];
    let needed: Vec<Hook> = hooks.into_iter().filter(is_needed).collect();
    kernel.load(&needed)
}

/// Attaches what `interfaces` need, replaces programs of other versions, detaches the rest. A line
/// for each hook that was touched. If a hook cannot be attached, those made before it go again.
pub(super) fn attach(
    pins: &Pins,
    kernel: &mut Kernel,
    interfaces: &[Interface],
) -> Result<Vec<String>, EbpfError> {
    let wanted: BTreeSet<(u32, Hook)> = interfaces
        .iter()
        .flat_map(|interface| interface.hooks().map(|hook| (interface.index, hook)))
        .collect();
    let is_new =
        |(index, hook): &&(u32, Hook)| !pins.links().join(pin_name(*index, *hook)).exists();
    let new: Vec<(u32, Hook)> = wanted.iter().filter(is_new).copied().collect();
    let _short = Expedited::for_hooks(pins, new.len());
    let mut lines = attach_all(pins, kernel, interfaces).inspect_err(|_| {
        for (index, hook) in new {
            // It may not have got that far; the error that is reported is the one that matters.
            let _ = fs::remove_file(pins.links().join(pin_name(index, hook)));
        }
    })?;
    let is_unwanted = |found: &Attached| !wanted.contains(&(found.ifindex, found.hook));
    let unwanted: Vec<Attached> = list(pins)?.into_iter().filter(is_unwanted).collect();
    detach(pins, &unwanted)?;
    lines.extend(unwanted.iter().map(|found| format!("{} detached", describe(found))));
    Kernel::remove_other_versions(pins)?;
    Ok(lines)
}

/// Attaches what `interfaces` need.
fn attach_all(
    pins: &Pins,
    kernel: &mut Kernel,
    interfaces: &[Interface],
) -> Result<Vec<String>, EbpfError> {
    let mut lines = Vec::new();
    for hook in [Hook::Xdp, Hook::TcIngress, Hook::TcEgress] {
        let with_hook: Vec<&Interface> =
            interfaces.iter().filter(|interface| interface.hooks().contains(&hook)).collect();
        if with_hook.is_empty() {
            continue;
        }
        let mut program = kernel.program(hook)?;
        let id = program.id()?;
        for interface in with_hook {
            lines.extend(attach_one(pins, &mut program, id, interface, hook)?);
        }
    }
    Ok(lines)
}

/// Detaches hooks, and returns when they are gone.
pub(super) fn detach(pins: &Pins, hooks: &[Attached]) -> Result<(), EbpfError> {
    let _short = Expedited::for_hooks(pins, hooks.len());
    for attached in hooks {
        let path = pins.links().join(pin_name(attached.ifindex, attached.hook));
        fs::remove_file(&path).map_err(EbpfError::file("remove", &path))?;
    }
    hooks.iter().try_for_each(wait_until_gone)
}

/// Waits until the kernel has detached a program whose pin was removed; it does that some
/// milliseconds later.
fn wait_until_gone(attached: &Attached) -> Result<(), EbpfError> {
    let started = Instant::now();
    while attached.alive && is_there(attached)? {
        if started.elapsed() > DETACHING {
            let (interface, hook) = (attached.interface.clone(), name(attached.hook));
            return Err(EbpfError::StillAttached { interface, hook });
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// Whether our program runs at a hook.
fn is_there(attached: &Attached) -> Result<bool, EbpfError> {
    match programs_on(attached.ifindex, &attached.interface, attached.hook) {
        Ok(there) => Ok(there.iter().any(|found| found.name == kernel_name(attached.hook))),
        Err(EbpfError::NoInterface(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn attach_one(
    pins: &Pins,
    program: &mut LoadedProgram,
    ours: u32,
    interface: &Interface,
    hook: Hook,
) -> Result<Option<String>, EbpfError> {
    let path = pins.links().join(pin_name(interface.index, hook));
    if path.exists() {
        let there = programs_on(interface.index, &interface.name, hook)?;
        if there.iter().any(|found| found.id == ours) {
            return Ok(None);
        }
        if there.iter().any(|found| found.name == kernel_name(hook)) {
            replace(&path, program, interface, hook)?;
            return Ok(Some(format!("{} {} replaced", interface.name, name(hook))));
        }
        fs::remove_file(&path).map_err(EbpfError::file("remove", &path))?;
    }
    let attached = match program {
        LoadedProgram::Tc(program) => attach_tcx(program, interface, hook).map(|it| (it, "tcx")),
        LoadedProgram::Xdp(program) => xdp::attach(program, interface),
    };
    let (link, how) = attached.map_err(|error| match interface_name(interface.index) {
        Some(_) => error,
        None => EbpfError::NoInterface(interface.name.clone()),
    })?;
    link.pin(&path).map_err(|source| EbpfError::Pin { path, source })?;
    Ok(Some(format!("{} {} attached ({how})", interface.name, name(hook))))
}

fn attach_tcx(
    program: &mut SchedClassifier,
    interface: &Interface,
    hook: Hook,
) -> Result<FdLink, EbpfError> {
    let error = || EbpfError::program(format!("attach to `{}` at {}", interface.name, name(hook)));
    // Before all others: a program that accepts a packet ends the chain, and what comes after it
    // is not asked.
    let options = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id =
        program.attach_with_options(&interface.name, attach_type(hook), options).map_err(error())?;
    let link: SchedClassifierLink = program.take_link(id).map_err(error())?;
    link.try_into().map_err(|source| EbpfError::Link {
        action: format!("cannot attach to `{}`", interface.name),
        source,
    })
}

/// Gives a link our program, without a moment in between.
fn replace(
    path: &PathBuf,
    program: &mut LoadedProgram,
    interface: &Interface,
    hook: Hook,
) -> Result<(), EbpfError> {
    let action = || format!("replace the program on `{}` at {}", interface.name, name(hook));
    let link_error = |source| EbpfError::Link { action: format!("cannot {}", action()), source };
    let link: FdLink = PinnedLink::from_pin(path).map_err(link_error)?.into();
    // The pin holds the link as long as this process has the handle that keeps it attached.
    match program {
        LoadedProgram::Tc(program) => {
            let link = SchedClassifierLink::try_from(link).map_err(link_error)?;
            let id = program.attach_to_link(link).map_err(EbpfError::program(action()))?;
            let link = program.take_link(id).map_err(EbpfError::program(action()))?;
            std::mem::forget(link);
        }
        LoadedProgram::Xdp(program) => {
            let link = XdpLink::try_from(link).map_err(link_error)?;
            let id = program.attach_to_link(link).map_err(EbpfError::program(action()))?;
            let link = program.take_link(id).map_err(EbpfError::program(action()))?;
            std::mem::forget(link);
        }
    }
    Ok(())
}

/// What [`attach`] would do, a line for each hook.
pub(super) fn preview(pins: &Pins, interfaces: &[Interface]) -> Result<Vec<String>, EbpfError> {
    let there = list(pins)?;
    let mut lines = Vec::new();
    for interface in interfaces {
        for hook in interface.hooks() {
            let is_it = |found: &&Attached| (found.ifindex, found.hook) == (interface.index, hook);
            let done = match there.iter().find(is_it) {
                Some(found) if found.alive => {
                    let ours = Kernel::pinned_id(pins, hook)?;
                    let running = programs_on(interface.index, &interface.name, hook)?;
                    if ours.is_some_and(|ours| running.iter().any(|found| found.id == ours)) {
                        continue;
                    }
                    "replaced"
                }
                _ => "attached",
            };
            lines.push(format!("{} {} {done}", interface.name, name(hook)));
        }
    }
    let is_wanted = |found: &&Attached| {
        interfaces.iter().any(|i| i.index == found.ifindex && i.hooks().contains(&found.hook))
    };
    let gone = there.iter().filter(|found| !is_wanted(found));
    lines.extend(gone.map(|found| format!("{} detached", describe(found))));
    Ok(lines)
}

/// All links that are pinned.
pub(super) fn list(pins: &Pins) -> Result<Vec<Attached>, EbpfError> {
    let mut attached = Vec::new();
    for pin in Pins::names(&pins.links())? {
        let Some((ifindex, hook)) = parse_pin_name(&pin) else { continue };
        let interface = interface_name(ifindex);
        let there = match &interface {
            Some(name) => programs_on(ifindex, name, hook)?,
            None => Vec::new(),
        };
        let ours = there.iter().find(|found| found.name == kernel_name(hook));
        attached.push(Attached {
            ifindex,
            interface: interface.unwrap_or_default(),
            hook,
            how: ours.map_or("gone", |found| found.how),
            alive: ours.is_some(),
        });
    }
    attached.sort_by(|a, b| (&a.interface, a.hook).cmp(&(&b.interface, b.hook)));
    Ok(attached)
}

/// Adds the hooks that the tables expect and that have no link.
pub(super) fn add_missing<'a>(
    attached: &mut Vec<Attached>,
    expected: impl Iterator<Item = &'a AttachmentKey>,
) {
    for key in expected {
        let hooks = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress];
        let Some(hook) = hooks.into_iter().find(|hook| *hook as u32 == key.hook) else { continue };
        if attached.iter().any(|found| (found.ifindex, found.hook) == (key.ifindex, hook)) {
            continue;
        }
        let interface = interface_name(key.ifindex).unwrap_or_default();
        attached.push(Attached {
            ifindex: key.ifindex,
            interface,
            hook,
            how: "gone",
            alive: false,
        });
    }
}

/// One line about a hook.
pub(super) fn describe(attached: &Attached) -> String {
    if attached.interface.is_empty() {
        format!("interface {} (gone) {}", attached.ifindex, name(attached.hook))
    } else {
        format!("{} {}", attached.interface, name(attached.hook))
    }
}

/// Programs of others on the interfaces.
pub(super) fn foreign(pins: &Pins, interfaces: &[Interface]) -> Result<Vec<Foreign>, EbpfError> {
    let mut foreign = Vec::new();
    for interface in interfaces {
        for hook in [Hook::Xdp, Hook::TcIngress, Hook::TcEgress] {
            let pinned = pins.links().join(pin_name(interface.index, hook)).exists();
            for found in programs_on(interface.index, &interface.name, hook)? {
                if pinned && found.name == kernel_name(hook) {
                    continue;
                }
                let (interface, program) = (interface.name.clone(), found.name);
                foreign.push(Foreign { interface, hook, program, id: found.id });
            }
        }
    }
    Ok(foreign)
}

/// XDP has room for one program: somebody else's is not displaced.
pub(super) fn refuse_foreign(pins: &Pins, interfaces: &[Interface]) -> Result<(), EbpfError> {
    let xdp: Vec<Interface> =
        interfaces.iter().filter(|i| i.arrival == Arrival::Xdp).cloned().collect();
    let found = foreign(pins, &xdp)?.into_iter().find(|foreign| foreign.hook == Hook::Xdp);
    match found {
        Some(Foreign { interface, program, id, .. }) => {
            Err(EbpfError::ForeignXdp { interface, program, id })
        }
        None => Ok(()),
    }
}

/// The programs that run at a hook of an interface.
fn programs_on(ifindex: u32, interface: &str, hook: Hook) -> Result<Vec<OnInterface>, EbpfError> {
    if hook == Hook::Xdp {
        return xdp::program_on(ifindex, interface);
    }
    let (_, programs) = SchedClassifier::query_tcx(interface, attach_type(hook)).map_err(
        |source| match &source {
            ProgramError::TcError(_) => EbpfError::NoInterface(interface.to_owned()),
            _ => EbpfError::program(format!("ask what is attached to `{interface}`"))(source),
        },
    )?;
    let found = |info: aya::programs::ProgramInfo| OnInterface {
        id: info.id(),
        name: String::from_utf8_lossy(info.name()).into_owned(),
        how: "tcx",
    };
    Ok(programs.into_iter().map(found).collect())
}

/// The name of our program as the kernel keeps it: 15 bytes.
fn kernel_name(hook: Hook) -> &'static str {
    let name = program_name(hook);
    &name[..name.len().min(15)]
}

const fn attach_type(hook: Hook) -> TcAttachType {
    match hook {
        Hook::TcEgress => TcAttachType::Egress,
        Hook::Xdp | Hook::TcIngress => TcAttachType::Ingress,
    }
}

fn pin_name(ifindex: u32, hook: Hook) -> String {
    format!("if{ifindex}-{}", name(hook))
}

fn parse_pin_name(pin: &str) -> Option<(u32, Hook)> {
    let (ifindex, hook) = pin.strip_prefix("if")?.split_once('-')?;
    let hook = [Hook::Xdp, Hook::TcIngress, Hook::TcEgress]
        .into_iter()
        .find(|candidate| name(*candidate) == hook)?;
    Some((ifindex.parse().ok()?, hook))
}

fn interface_name(ifindex: u32) -> Option<String> {
    let name = if_indextoname(ifindex).ok()?.into_string().ok()?;
    // nix 0.31 gives the empty name for an interface that does not exist.
    (!name.is_empty()).then_some(name)
}
