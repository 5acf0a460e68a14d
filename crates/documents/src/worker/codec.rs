//! Values as bytes: little-endian, lengths as LEB128, every count checked against what is left.

use crate::{ProtocolFault, Rect};

/// Collects values.
#[derive(Default)]
pub(crate) struct Encoder {
    pub(crate) bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    pub(crate) fn u64(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.u8((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.u64(u64::from(value));
    }

    pub(crate) fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    /// A finite number; others would be refused on the other side, so they become 0.
    pub(crate) fn f32(&mut self, value: f32) {
        let value = if value.is_finite() { value } else { 0.0 };
        self.bytes.extend(value.to_le_bytes());
    }

    pub(crate) fn str(&mut self, value: &str) {
        self.count(value.len());
        self.bytes.extend(value.as_bytes());
    }

    pub(crate) fn option_str(&mut self, value: Option<&str>) {
        self.bool(value.is_some());
        if let Some(value) = value {
            self.str(value);
        }
    }

    pub(crate) fn rect(&mut self, value: &Rect) {
        for side in [value.x0, value.y0, value.x1, value.y1] {
            self.f32(side);
        }
    }

    pub(crate) fn list<T>(&mut self, values: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.count(values.len());
        for value in values {
            each(self, value);
        }
    }
}

/// Hands values out again.
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
}

type Decoded<T> = Result<T, ProtocolFault>;

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Succeeds when nothing is left.
    pub(crate) fn finish(self) -> Decoded<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(ProtocolFault::Malformed) }
    }

    pub(crate) fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(ProtocolFault::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn u8(&mut self) -> Decoded<u8> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn bool(&mut self) -> Decoded<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(ProtocolFault::Malformed),
        }
    }

    pub(crate) fn u64(&mut self) -> Decoded<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(ProtocolFault::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(ProtocolFault::Malformed)
    }

    pub(crate) fn u32(&mut self) -> Decoded<u32> {
        u32::try_from(self.u64()?).map_err(|_| ProtocolFault::Malformed)
    }

    pub(crate) fn u16(&mut self) -> Decoded<u16> {
        u16::try_from(self.u64()?).map_err(|_| ProtocolFault::Malformed)
    }

    /// The length of a list whose elements take at least `least` bytes each.
    pub(crate) fn count(&mut self, least: usize) -> Decoded<usize> {
        let count = usize::try_from(self.u64()?).map_err(|_| ProtocolFault::Malformed)?;
        let fits = count.checked_mul(least).is_some_and(|bytes| bytes <= self.rest.len());
        if fits { Ok(count) } else { Err(ProtocolFault::Malformed) }
    }

    pub(crate) fn f32(&mut self) -> Decoded<f32> {
        let bytes = self.take(4)?;
        let value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if value.is_finite() { Ok(value) } else { Err(ProtocolFault::Malformed) }
    }

    pub(crate) fn str(&mut self) -> Decoded<String> {
        let count = self.count(1)?;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| ProtocolFault::Malformed)
    }

    pub(crate) fn option_str(&mut self) -> Decoded<Option<String>> {
        if self.bool()? { Ok(Some(self.str()?)) } else { Ok(None) }
    }

    pub(crate) fn rect(&mut self) -> Decoded<Rect> {
        Ok(Rect { x0: self.f32()?, y0: self.f32()?, x1: self.f32()?, y1: self.f32()? })
    }

    pub(crate) fn list<T>(
        &mut self,
        least: usize,
        mut each: impl FnMut(&mut Self) -> Decoded<T>,
    ) -> Decoded<Vec<T>> {
        let count = self.count(least)?;
        // An element in memory can be far larger than its bytes: grow as they prove to be there.
        let mut values = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            values.push(each(self)?);
        }
        Ok(values)
    }
}
