//! The codes of diagnostics: stable numbers that people look up, link to and filter by. A number
//! is never given to another meaning.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $title:literal;)+) => {
        /// What kind of finding a diagnostic is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The code as it is printed, `RF0021`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("RF", $number),)+
                }
            }

            /// What it is about, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }

            /// The whole explanation in Markdown: the meaning, a wrong example under `## Wrong`
            /// and the same mended under `## Right`.
            #[must_use]
            pub const fn explanation(self) -> &'static str {
                match self {
                    $(Self::$name => {
                        include_str!(concat!("explanation/RF", $number, ".md"))
                    })+
                }
            }
        }
    };
}

codes! {
    /// A file or directory cannot be read.
    Unreadable = "0001", "unreadable input";
    /// A file is not UTF-8.
    NotUtf8 = "0002", "text that is not UTF-8";
    /// A file contains a NUL character.
    NulCharacter = "0003", "NUL character";
    /// A file is neither YAML nor JSON.
    Syntax = "0004", "neither YAML nor JSON";
    /// The input has too many bytes or files.
    TooLarge = "0005", "input too large";
    /// Sequences and mappings lie too deep within each other.
    TooDeep = "0006", "nested too deep";
    /// There are too many documents, items or values.
    TooMany = "0007", "too many documents, items or values";
    /// Aliases make too much out of little, or contain themselves.
    AliasExpansion = "0008", "aliases that expand too far";
    /// A mapping has one key twice.
    DuplicateKey = "0009", "duplicate key";
    /// A value has a YAML tag.
    Tag = "0010", "YAML tag";
    /// An input has no document.
    NothingToRead = "0011", "nothing to read";
    /// A document is of a kind that Ringfence does not know.
    UnknownKind = "0020", "unknown kind";
    /// A field does not exist.
    UnknownField = "0021", "unknown field";
    /// A required field is absent.
    MissingField = "0022", "missing field";
    /// A value has another type than its field.
    WrongType = "0023", "wrong type";
    /// Text that YAML reads as something else.
    Unquoted = "0024", "text that needs quotes";
    /// A number in another notation than decimal.
    NumberNotation = "0025", "number not in plain decimal";
    /// A name that Kubernetes does not allow.
    InvalidName = "0026", "invalid name";
    /// A value that is not among those its field allows.
    NotAllowed = "0027", "value that the field does not allow";
    /// One object is described twice.
    DuplicateObject = "0028", "object described twice";
    /// A label key that Kubernetes does not allow.
    LabelKey = "0030", "invalid label key";
    /// A label value that Kubernetes does not allow.
    LabelValue = "0031", "invalid label value";
    /// Values where the operator takes none, or none where it needs some.
    OperatorValues = "0032", "operator and values do not fit";
    /// A label that says who the host is.
    ReservedLabel = "0033", "label that only the host carries";
    /// A peer that names nobody.
    EmptyPeer = "0040", "peer that names nobody";
    /// A peer with addresses and selectors at once.
    MixedPeer = "0041", "peer with ipBlock and selector";
    /// A text that is not a CIDR block.
    InvalidCidr = "0042", "invalid CIDR block";
    /// An exception outside its block.
    ExceptOutside = "0043", "exception outside its block";
    /// A CIDR block with bits beyond its prefix.
    HostBits = "0044", "CIDR block with host bits";
    /// A port number that does not exist.
    PortRange = "0045", "port out of range";
    /// A port number in quotes.
    QuotedPort = "0046", "port number in quotes";
    /// A text that is not the name of a port.
    PortName = "0047", "invalid port name";
    /// `endPort` without a port number.
    EndPortAlone = "0048", "endPort without a port number";
    /// `endPort` below `port`.
    EndPortBelow = "0049", "endPort below port";
    /// Rules of a direction that the policy is not about.
    IdleRules = "0050", "rules that never apply";
    /// A policy that does not say whom it selects.
    ImplicitSubject = "0051", "policy without podSelector";
    /// A text that is not a usable address.
    InvalidAddress = "0060", "invalid address";
    /// Two workloads with one address.
    AddressTaken = "0061", "address of two workloads";
    /// A pod that shares its host's network.
    HostNetworkPod = "0062", "pod in its host's network";
    /// Two ports of a workload with one name.
    DuplicatePort = "0063", "port name used twice";
    /// A text that is not the name of an interface.
    InterfaceName = "0064", "invalid interface name";
    /// A policy that selects nobody.
    IdlePolicy = "0070", "policy that selects nobody";
    /// A peer that selects nobody.
    IdlePeer = "0071", "peer that selects nobody";
    /// A port name that no workload has.
    IdlePortName = "0072", "port name that no workload has";
    /// None or several of the fields of which one must be set.
    NotOneField = "0080", "not exactly one field";
    /// A list without items that needs one.
    EmptyList = "0081", "empty list";
    /// A peer of nodes.
    NodesPeer = "0082", "peers that are nodes";
    /// A peer of domain names.
    DomainNamesPeer = "0083", "peers by domain name";
    /// A port's name beside addresses.
    NamedPortOfNetwork = "0084", "port name of addresses";
    /// A list with more items than the API takes.
    TooManyItems = "0085", "more items than the API takes";
    /// A port range whose end is not above its start.
    BackwardRange = "0086", "port range that does not ascend";
    /// A cluster-wide policy with a namespace.
    Namespaced = "0087", "cluster-wide policy with a namespace";
    /// AdminNetworkPolicy and BaselineAdminNetworkPolicy.
    OlderKind = "0088", "policy of an older API";
    /// Policies of one tier and priority that say different things.
    PriorityTie = "0090", "policies of one priority that disagree";
    /// `Pass` where no tier follows.
    BaselinePass = "0091", "pass in the last tier";
    /// A rule that an earlier one of its policy leaves nothing.
    ShadowedRule = "0092", "rule that never counts";
    /// A cluster-wide policy without rules.
    NoRules = "0093", "policy without rules";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is not one of [`Code::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no diagnostic `{0}`")]
pub struct UnknownCode(pub String);

impl FromStr for Code {
    type Err = UnknownCode;

    /// Reads `RF0021`, also in lower case.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let found = Self::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(text));
        found.copied().ok_or_else(|| UnknownCode(text.to_owned()))
    }
}
