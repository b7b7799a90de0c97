//! From Rust values to JavaScript values, where napi's own way costs too much or does not exist.

use std::ptr;

use napi::bindgen_prelude::{Result, ToNapiValue};
use napi::{check_status, sys};

use crate::js_batch::Text;

/// Makes a string without looking at its characters.
impl ToNapiValue for &Text {
    unsafe fn to_napi_value(env: sys::napi_env, text: Self) -> Result<sys::napi_value> {
        let ascii = match text {
            Text::Ascii(batch, from, to) => &batch.text().as_bytes()[*from..*to],
            Text::Own(text) => text.as_bytes(),
            // SAFETY: the caller's.
            Text::Wide(units) => return unsafe { utf16(env, units) },
        };
        // SAFETY: the caller's; ASCII is Latin-1.
        unsafe { latin1(env, ascii) }
    }
}

/// # Safety
/// `env` is the environment of this thread.
unsafe fn latin1(env: sys::napi_env, bytes: &[u8]) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    // SAFETY: pointer and length are of one slice, which Node copies.
    check_status!(unsafe {
        sys::napi_create_string_latin1(env, bytes.as_ptr().cast(), bytes.len().cast_signed(), &raw mut value)
    })?;
    Ok(value)
}

/// # Safety
/// `env` is the environment of this thread.
unsafe fn utf16(env: sys::napi_env, units: &[u16]) -> Result<sys::napi_value> {
    let mut value = ptr::null_mut();
    // SAFETY: pointer and length are of one slice, which Node copies.
    check_status!(unsafe {
        sys::napi_create_string_utf16(env, units.as_ptr(), units.len().cast_signed(), &raw mut value)
    })?;
    Ok(value)
}

/// Numbers as a typed array. Copied: a buffer of our own would need a finalizer, which costs more.
pub(crate) struct Numbers<'a, T>(pub(crate) &'a [T]);

/// What typed arrays have as elements.
pub(crate) trait Element: Copy {
    /// The array's type.
    const ARRAY: sys::napi_typedarray_type;
}

impl Element for u32 {
    const ARRAY: sys::napi_typedarray_type = sys::TypedarrayType::uint32_array;
}

impl Element for f64 {
    const ARRAY: sys::napi_typedarray_type = sys::TypedarrayType::float64_array;
}

impl<T: Element> ToNapiValue for Numbers<'_, T> {
    unsafe fn to_napi_value(env: sys::napi_env, Numbers(numbers): Self) -> Result<sys::napi_value> {
        let (mut data, mut buffer, mut array) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        let bytes = size_of_val(numbers);
        // SAFETY: `env` is the environment of this thread.
        check_status!(unsafe { sys::napi_create_arraybuffer(env, bytes, &raw mut data, &raw mut buffer) })?;
        if bytes > 0 {
            // SAFETY: the buffer is new, has `bytes` bytes, and nobody else has it yet; bytes have no alignment.
            unsafe { ptr::copy_nonoverlapping(numbers.as_ptr().cast::<u8>(), data.cast::<u8>(), bytes) };
        }
        // SAFETY: the buffer holds that many numbers.
        check_status!(unsafe { sys::napi_create_typedarray(env, T::ARRAY, numbers.len(), buffer, 0, &raw mut array) })?;
        Ok(array)
    }
}
