//! How contenders look: colours of Okabe and Ito, which people with any kind of colour vision tell
//! apart, dashes and markers.

use plotters::style::RGBColor;
use ringfence_testbed::lab::Contender;

const BLACK: RGBColor = RGBColor(0, 0, 0);
const GREY: RGBColor = RGBColor(120, 120, 120);
const ORANGE: RGBColor = RGBColor(230, 159, 0);
const SKY: RGBColor = RGBColor(86, 180, 233);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const BLUE: RGBColor = RGBColor(0, 114, 178);
const VERMILION: RGBColor = RGBColor(213, 94, 0);
const PURPLE: RGBColor = RGBColor(204, 121, 167);

/// How a contender looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    /// Of line and marker.
    pub colour: RGBColor,
    /// The lengths of dash and gap in pixels; none for a line without gaps.
    pub dash: Option<(u32, u32)>,
    /// What is drawn at each figure.
    pub marker: Marker,
    /// Whether the marker is filled.
    pub is_filled: bool,
    /// The line's width in pixels.
    pub width: u32,
}

/// What is drawn at a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// A circle.
    Circle,
    /// A square.
    Square,
    /// A triangle that points upwards.
    Up,
    /// A triangle that points downwards.
    Down,
    /// A square on a corner.
    Diamond,
    /// Two crossing lines.
    Cross,
}

/// How a contender looks. A family of tools shares a colour; bare rules are dashed and hollow,
/// controls dotted.
pub fn style(contender: Contender) -> Style {
    let (colour, marker) = match contender {
        Contender::None => (GREY, Marker::Cross),
        Contender::EmptyTcx => (GREY, Marker::Circle),
        Contender::EmptyXdp => (GREY, Marker::Up),
        Contender::EbpfTcx => (BLUE, Marker::Circle),
        Contender::EbpfXdp => (SKY, Marker::Up),
        Contender::Userspace => (BLACK, Marker::Cross),
        Contender::IptablesFlat => (VERMILION, Marker::Down),
        Contender::Iptables | Contender::BareIptables => (VERMILION, Marker::Square),
        Contender::IptablesNft | Contender::BareIptablesNft => (ORANGE, Marker::Diamond),
        Contender::Ipset | Contender::BareIpset => (GREEN, Marker::Up),
        Contender::Nftables => (PURPLE, Marker::Down),
        Contender::BareNft => (PURPLE, Marker::Diamond),
        Contender::BareNftSet => (PURPLE, Marker::Circle),
    };
    let dash = match contender {
        _ if contender.is_control() => Some((2, 4)),
        _ if contender.is_bare() => Some((7, 4)),
        _ => None,
    };
    let is_engine = matches!(contender, Contender::EbpfTcx | Contender::EbpfXdp);
    let is_filled = !contender.is_bare() && !contender.is_control();
    Style { colour, dash, marker, is_filled, width: if is_engine { 3 } else { 2 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_contenders_look_alike() {
        let mut seen = Vec::new();
        for contender in Contender::ALL {
            let Style { colour, dash, marker, is_filled, .. } = style(contender);
            let look = (colour, dash, marker, is_filled);
            assert!(!seen.contains(&look), "{contender} looks like another");
            seen.push(look);
        }
    }
}
