// An entry as raft-engine takes it: a protobuf message with the fields and tags that raft-rs gives an entry (term 2,
// index 3, data 4). Written by hand, so that nothing but what is measured is linked; the encoding is the generated one's.

use protobuf::{Clear, CodedInputStream, CodedOutputStream, Message, ProtobufResult, UnknownFields};
use protobuf::{reflect::MessageDescriptor, rt};
use raft_engine::MessageExt;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entry {
    pub term: u64,
    pub index: u64,
    pub data: Vec<u8>,
    unknown: UnknownFields,
}

impl Entry {
    pub fn of(term: u64, data: Vec<u8>) -> Self {
        Self {
            term,
            data,
            ..Self::default()
        }
    }
}

impl Clear for Entry {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Message for Entry {
    fn is_initialized(&self) -> bool {
        true
    }

    fn compute_size(&self) -> u32 {
        let varint = rt::ProtobufVarint::len_varint;
        let length = self.data.len() as u64;
        3 + varint(&self.term) + varint(&self.index) + varint(&length) + length as u32
    }

    fn write_to_with_cached_sizes(&self, os: &mut CodedOutputStream) -> ProtobufResult<()> {
        os.write_uint64(2, self.term)?;
        os.write_uint64(3, self.index)?;
        os.write_bytes(4, &self.data)
    }

    fn merge_from(&mut self, is: &mut CodedInputStream) -> ProtobufResult<()> {
        while !is.eof()? {
            let (field, wire) = is.read_tag_unpack()?;
            match field {
                2 => self.term = is.read_uint64()?,
                3 => self.index = is.read_uint64()?,
                4 => self.data = is.read_bytes()?,
                _ => rt::read_unknown_or_skip_group(field, wire, is, &mut self.unknown)?,
            }
        }
        Ok(())
    }

    fn get_cached_size(&self) -> u32 {
        self.compute_size()
    }

    fn get_unknown_fields(&self) -> &UnknownFields {
        &self.unknown
    }

    fn mut_unknown_fields(&mut self) -> &mut UnknownFields {
        &mut self.unknown
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn descriptor(&self) -> &'static MessageDescriptor {
        unreachable!("only reflection asks for it, and only of messages that are not initialized")
    }

    fn new() -> Self {
        Self::default()
    }

    fn default_instance() -> &'static Self {
        static INSTANCE: rt::LazyV2<Entry> = rt::LazyV2::INIT;
        INSTANCE.get(Entry::default)
    }
}

/// Tells raft-engine where an entry's index is.
#[derive(Clone)]
pub struct Entries;

impl MessageExt for Entries {
    type Entry = Entry;

    fn index(entry: &Entry) -> u64 {
        entry.index
    }
}
