//! `NativePart`: bytes of a file that are gathered in the memory that they are sent from.

use agb_client::{Bytes, Session};
use napi::Env;
use napi::bindgen_prelude::{ObjectFinalize, Result};
use napi_derive::napi;

use crate::objects::Transferred;
use crate::part_buffer::Filling;
use crate::promise::{Promise, call};

/// `NativePart` of `binding.ts`.
#[napi(custom_finalize)]
pub(crate) struct NativePart {
    session: Session,
    bytes: Vec<u8>,
    /// What V8 knows of it.
    told: i64,
}

impl NativePart {
    /// One with room for so many bytes; they come to exist as they are written.
    pub(crate) fn new(env: &Env, session: Session, size: u32) -> Result<Self> {
        let told = i64::from(size);
        // What nobody sends the collector has to find, and it does not look for what it takes for small.
        env.adjust_external_memory(told)?;
        Ok(Self { session, bytes: Vec::with_capacity(size as usize), told })
    }
}

#[napi]
impl NativePart {
    /// Puts bytes behind those that are there.
    #[napi(catch_unwind)]
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Carries what is there, and is empty afterwards.
    #[napi(catch_unwind)]
    pub fn send<'env>(&mut self, env: &'env Env, name: String, arguments: String) -> Result<Promise<'env>> {
        env.adjust_external_memory(-std::mem::take(&mut self.told))?;
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let session = self.session.clone();
        let transfer = async move { session.transfer_by_name(&name, &arguments, bytes, &mut Filling::nothing()).await };
        call(env, transfer, |part| Transferred::new(part, None))
    }
}

impl ObjectFinalize for NativePart {
    fn finalize(self, env: Env) -> Result<()> {
        env.adjust_external_memory(-self.told).map(drop)
    }
}
