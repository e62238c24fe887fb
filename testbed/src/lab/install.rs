//! Putting a contender into place.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ringfence_dataplane::backend::iptables::Layout;
use ringfence_dataplane::backend::tool::Tools;
use ringfence_dataplane::backend::userspace::live::{self, Running};
use ringfence_dataplane::backend::xtables::Variant;
use ringfence_dataplane::backend::{Mode, Settings};
use ringfence_dataplane::compile::{Tables, compile};
use ringfence_dataplane::enforce::{
    self, BackendChoice, Ends, HookChoice, HostView, Options, Paths, wires,
};

use super::cores::pin_to_any;
use super::guardian::Guardian;
use super::network::Network;
use super::{Asked, BareText, Contender, Cores, LabError, bare_texts, policies};
use crate::netns::Namespace;

/// How long work that cannot be stopped is waited for after its tools are gone.
const GRACE: Duration = Duration::from_secs(2);
/// How long to wait between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What stands in a network.
#[derive(Default)]
pub(super) struct Standing {
    /// How long it took to compile; nothing for what is not Ringfence's.
    pub compiled: Option<Duration>,
    /// How long it took to put into place.
    pub applied: Duration,
    pub warnings: Vec<String>,
    /// The filter in user space, and the entries of its policy.
    pub filter: Option<(Running, usize)>,
}

/// How `ringfence apply` is told to use `contender`; nothing for one that it does not apply.
///
/// Connections older than the filter are not picked up, as is the case a minute after any apply.
#[must_use]
pub fn options(contender: Contender) -> Option<Options> {
    let iptables = |variant, layout| BackendChoice::Iptables { variant: Some(variant), layout };
    let (backend, hook) = match contender {
        Contender::EbpfTcx => (BackendChoice::Ebpf, HookChoice::Tcx),
        Contender::EbpfXdp => (BackendChoice::Ebpf, HookChoice::Xdp),
        Contender::IptablesFlat => (iptables(Variant::Legacy, Layout::Flat), HookChoice::Auto),
        Contender::Iptables => (iptables(Variant::Legacy, Layout::Structured), HookChoice::Auto),
        Contender::IptablesNft => (iptables(Variant::Nft, Layout::Structured), HookChoice::Auto),
        Contender::Ipset => {
            (BackendChoice::Ipset { variant: Some(Variant::Legacy) }, HookChoice::Auto)
        }
        Contender::Nftables => (BackendChoice::Nftables, HookChoice::Auto),
        _ => return None,
    };
    Some(Options { backend, hook, settings: settings(), ..Options::default() })
}

fn settings() -> Settings {
    Settings { pick_up_seconds: 0, ..Settings::default() }
}

/// Puts a contender into place within `limit`.
pub(super) fn stand(
    network: &Network,
    asked: &Asked,
    cores: &Cores,
    limit: Duration,
) -> Result<Standing, LabError> {
    if asked.case.contender == Contender::Userspace {
        return userspace(network, asked, cores, limit);
    }
    if let Some(options) = options(asked.case.contender) {
        return engine(network, asked, options, limit);
    }
    feed(network.router(), &bare_texts(asked), limit)
}

/// Has tools read `texts` in `router`'s namespace, one after the other.
pub(super) fn feed(
    router: &Namespace,
    texts: &[BareText],
    limit: Duration,
) -> Result<Standing, LabError> {
    let started = Instant::now();
    for BareText { tool, arguments, script } in texts {
        let rest = limit.saturating_sub(started.elapsed());
        if rest.is_zero() {
            return Err(LabError::TimedOut { after: limit, is_still_running: false });
        }
        let tools = Tools::on_path().no_longer_than(rest);
        let fed = router.run(|| tools.feed(tool, arguments, script, &BTreeMap::new()))?;
        fed.map_err(|error| match LabError::from(error) {
            LabError::TimedOut { .. } => {
                LabError::TimedOut { after: limit, is_still_running: false }
            }
            other => other,
        })?;
    }
    Ok(Standing { applied: started.elapsed(), ..Standing::default() })
}

/// As `ringfence apply` does it.
fn engine(
    network: &Network,
    asked: &Asked,
    options: Options,
    limit: Duration,
) -> Result<Standing, LabError> {
    let asked = *asked;
    let router = network.router().try_clone()?;
    within(limit, router, move || {
        let (tables, compiled) = compiled(&asked)?;
        let started = Instant::now();
        let summary = enforce::apply(&Paths::default(), &tables, &BTreeMap::new(), &options)?;
        let applied = started.elapsed();
        if summary.local == 0 {
            let what = "the server is not on the router".to_owned();
            return Err(LabError::Wrong { contender: asked.case.contender, what });
        }
        let mut warnings: Vec<String> = summary.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(summary.host_warnings);
        Ok(Standing { compiled: Some(compiled), applied, warnings, filter: None })
    })
}

/// As `ringfence run-userspace` does it, with one thread, which keeps away from the processor that
/// is measured where there is another one.
fn userspace(
    network: &Network,
    asked: &Asked,
    cores: &Cores,
    limit: Duration,
) -> Result<Standing, LabError> {
    let (asked, others) = (*asked, cores.others.clone());
    let filter = network.filter_box().expect("the network was built with a box for the filter");
    let ends: Vec<Ends> = filter.links.iter().map(ends).collect();
    let inside = filter.namespace.try_clone()?;
    within(limit, inside, move || {
        let (tables, compiled) = compiled(&asked)?;
        if !others.is_empty() {
            pin_to_any(&others)?;
        }
        let started = Instant::now();
        let view = HostView::read().map_err(LabError::refused("read the box's interfaces"))?;
        let placed = wires(&tables, &ends, &view)
            .map_err(LabError::refused("place the filter on the wire"))?;
        let options =
            live::Options { mode: Mode::Enforce, settings: settings(), threads: NonZeroUsize::MIN };
        let running = live::start(placed.wires, &tables, options)
            .map_err(LabError::refused("start the filter"))?;
        Ok(Standing {
            compiled: Some(compiled),
            applied: started.elapsed(),
            warnings: placed.warnings.iter().map(ToString::to_string).collect(),
            filter: Some((running, tables.policy.len())),
        })
    })
}

fn ends(link: &crate::topology::Link) -> Ends {
    Ends { inside: link.inside.clone(), outside: link.outside.clone() }
}

/// The tables of a case, and how long compiling them took.
fn compiled(asked: &Asked) -> Result<(Tables, Duration), LabError> {
    let policies = policies(asked);
    let started = Instant::now();
    let tables = compile(&policies).map_err(LabError::Compile)?;
    Ok((tables, started.elapsed()))
}

/// Does `work` in `namespace`, and gives it up after `limit`: its tools are killed. What this
/// process does itself cannot be stopped; it goes on in the namespace, which nobody uses any more,
/// and the tools that it still starts there are killed as well.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    namespace: Namespace,
    work: impl FnOnce() -> Result<T, LabError> + Send + 'static,
) -> Result<T, LabError> {
    let (send, receive) = mpsc::channel();
    let thread = namespace.spawn("install", move || {
        // Nobody receives it where it took too long.
        let _ = send.send(work());
    })?;
    match receive.recv_timeout(limit) {
        Ok(done) => done,
        // It has panicked, or could not enter the namespace.
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(Err(error)) => Err(error.into()),
            Ok(Ok(())) => unreachable!("it has sent what came of it"),
        },
        Err(RecvTimeoutError::Timeout) => {
            let is_still_running = !kill_tools(&namespace, &receive, Some(GRACE))?;
            if is_still_running {
                let kill = move || kill_tools(&namespace, &receive, None);
                // Detached: it ends with the work.
                thread::Builder::new()
                    .name("end of install".to_owned())
                    .spawn(kill)
                    .map_err(LabError::refused("start a thread"))?;
            }
            Err(LabError::TimedOut { after: limit, is_still_running })
        }
    }
}

/// Kills the tools in `namespace`, and those that are started after them, until the work has come
/// to its end; whether it has within `longest`.
fn kill_tools<T>(
    namespace: &Namespace,
    work: &Receiver<Result<T, LabError>>,
    longest: Option<Duration>,
) -> Result<bool, LabError> {
    let started = Instant::now();
    loop {
        Guardian::start(namespace)?.end();
        match work.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(_) | Err(RecvTimeoutError::Disconnected) => return Ok(true),
        }
        if longest.is_some_and(|longest| started.elapsed() > longest) {
            return Ok(false);
        }
    }
}
