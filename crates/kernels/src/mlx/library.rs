//! The shim over MLX: a shared library of ours, opened at run time and checked before it is used.
//! What it is and how it is built: `crates/kernels/mlx/shim.cpp`, `cargo xtask mlx`.
#![expect(unsafe_code, reason = "a table of C functions is read from a shared library")]

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::MlxMemory;
use crate::{Error, Result};

/// The MLX that the shim must be built with, and that must lie beside it.
pub const MLX_VERSION: &str = "0.32.4";

/// The version of the border that this program speaks; `FOLIO_MLX_ABI` of the shim.
pub const MLX_ABI: u32 = 5;

/// An array of MLX, as the shim hands it out.
pub(super) enum Opaque {}

pub(super) type Handle = *mut Opaque;
pub(super) type Given = *const Opaque;

/// `struct FolioMlx` of the shim, field by field.
#[repr(C)]
pub(super) struct Functions {
    built_with: *const c_char,
    message: unsafe extern "C" fn() -> *const c_char,
    version: unsafe extern "C" fn() -> *const c_char,
    has_gpu: unsafe extern "C" fn() -> c_int,
    open_device: unsafe extern "C" fn(i32) -> c_int,
    describe: unsafe extern "C" fn(*mut c_char, usize, *mut u64) -> c_int,
    memory: unsafe extern "C" fn(*mut u64, *mut u64, *mut u64),
    set_cache_limit: unsafe extern "C" fn(u64) -> c_int,
    clear_cache: unsafe extern "C" fn() -> c_int,
    reset_peak: unsafe extern "C" fn() -> c_int,
    pub(super) release: unsafe extern "C" fn(Handle),
    pub(super) from_bytes:
        unsafe extern "C" fn(*const c_void, usize, *const i32, usize, i32, *mut Handle) -> c_int,
    pub(super) zeros: unsafe extern "C" fn(*const i32, usize, i32, *mut Handle) -> c_int,
    pub(super) dtype: unsafe extern "C" fn(Given) -> i32,
    pub(super) eval: unsafe extern "C" fn(*const Given, usize) -> c_int,
    pub(super) start: unsafe extern "C" fn(*const Given, usize) -> c_int,
    pub(super) wait: unsafe extern "C" fn(*const Given, usize) -> c_int,
    pub(super) read: unsafe extern "C" fn(Given, i32, *mut c_void, usize) -> c_int,
    pub(super) reshape: unsafe extern "C" fn(Given, *const i32, usize, *mut Handle) -> c_int,
    pub(super) as_type: unsafe extern "C" fn(Given, i32, *mut Handle) -> c_int,
    pub(super) add: unsafe extern "C" fn(Given, Given, *mut Handle) -> c_int,
    pub(super) multiply: unsafe extern "C" fn(Given, Given, *mut Handle) -> c_int,
    pub(super) scale: unsafe extern "C" fn(Given, f32, *mut Handle) -> c_int,
    pub(super) swiglu: unsafe extern "C" fn(Given, Given, *mut Handle) -> c_int,
    pub(super) clamped_swiglu: unsafe extern "C" fn(Given, Given, f32, f32, *mut Handle) -> c_int,
    pub(super) weighted_sum: unsafe extern "C" fn(Given, Given, i32, *mut Handle) -> c_int,
    pub(super) route: unsafe extern "C" fn(Given, i32, i32, i32, i32, f32, *mut Handle) -> c_int,
    pub(super) gelu: unsafe extern "C" fn(Given, i32, *mut Handle) -> c_int,
    pub(super) rms_norm: unsafe extern "C" fn(Given, Given, f32, *mut Handle) -> c_int,
    pub(super) layer_norm: unsafe extern "C" fn(Given, Given, Given, f32, *mut Handle) -> c_int,
    pub(super) rope: unsafe extern "C" fn(Given, *const i32, Given, i32, *mut Handle) -> c_int,
    pub(super) matmul: unsafe extern "C" fn(Given, Given, *mut Handle) -> c_int,
    pub(super) quantized_matmul: unsafe extern "C" fn(
        Given,
        Given,
        Given,
        Given,
        i32,
        i32,
        *const c_char,
        *mut Handle,
    ) -> c_int,
    pub(super) gather_mm: unsafe extern "C" fn(Given, Given, Given, Given, *mut Handle) -> c_int,
    pub(super) gather_qmm: unsafe extern "C" fn(
        Given,
        Given,
        Given,
        Given,
        i32,
        i32,
        *const c_char,
        Given,
        Given,
        *mut Handle,
    ) -> c_int,
    pub(super) take: unsafe extern "C" fn(Given, Given, i32, *mut Handle) -> c_int,
    pub(super) quantized_take: unsafe extern "C" fn(
        Given,
        Given,
        Given,
        i32,
        i32,
        *const c_char,
        Given,
        i32,
        *mut Handle,
    ) -> c_int,
    pub(super) quantize: unsafe extern "C" fn(Given, i32, i32, *mut Handle) -> c_int,
    pub(super) dequantize:
        unsafe extern "C" fn(Given, Given, Given, i32, i32, *mut Handle) -> c_int,
    pub(super) slice_rows: unsafe extern "C" fn(Given, i32, i32, *mut Handle) -> c_int,
    pub(super) slice_columns: unsafe extern "C" fn(Given, i32, i32, *mut Handle) -> c_int,
    pub(super) take_blocks:
        unsafe extern "C" fn(Given, i32, *const u32, usize, *mut Handle) -> c_int,
    pub(super) store_rows:
        unsafe extern "C" fn(Given, Given, *const u32, usize, *mut Handle) -> c_int,
    pub(super) concatenate: unsafe extern "C" fn(*const Given, usize, i32, *mut Handle) -> c_int,
    pub(super) attention:
        unsafe extern "C" fn(Given, Given, Given, Given, f32, i64, i64, *mut Handle) -> c_int,
    pub(super) chunked_attention:
        unsafe extern "C" fn(Given, Given, Given, Given, Given, f32, i32, *mut Handle) -> c_int,
    pub(super) coded_attention: unsafe extern "C" fn(
        Given,
        Given,
        Given,
        Given,
        Given,
        Given,
        Given,
        f32,
        i32,
        i32,
        *mut Handle,
    ) -> c_int,
    pub(super) categorical: unsafe extern "C" fn(
        Given,
        *const f32,
        *const f32,
        *const u32,
        *const f32,
        *const f32,
        *mut Handle,
    ) -> c_int,
}

// SAFETY: a table of functions and of constant texts, written once before it is handed out.
unsafe impl Sync for Functions {}

/// Calls go one at a time: a device has one owner, but facts may be asked from other threads.
static TURN: Mutex<()> = Mutex::new(());

/// Libraries by path. One that was opened stays: MLX has threads and destructors of its own.
static OPEN: Mutex<BTreeMap<PathBuf, Library>> = Mutex::new(BTreeMap::new());

/// An open and checked shim.
#[derive(Clone, Copy)]
pub(super) struct Library(&'static Functions);

impl Library {
    /// Opens the shim at `path`, or finds it open.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(library) = open.get(path) {
            return Ok(*library);
        }
        let library = Self::load(path)?;
        open.insert(path.to_owned(), library);
        Ok(library)
    }

    #[cfg(unix)]
    fn load(path: &Path) -> Result<Self> {
        use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW, Symbol};

        let unopened = |error: libloading::Error| {
            // The loader's own words are the cause of this error.
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let what = cause.unwrap_or_else(|| error.to_string());
            Error::MlxUnopened { path: path.to_owned(), what }
        };
        // SAFETY: what runs on opening are MLX's own constructors; the user put the library there.
        let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
        let library = Box::leak(Box::new(library.map_err(unopened)?));
        type Abi = unsafe extern "C" fn() -> u32;
        type Table = unsafe extern "C" fn() -> *const Functions;
        // SAFETY: this function has had this type in every version of the shim.
        let abi: Symbol<Abi> = unsafe { library.get(c"folio_mlx_abi") }.map_err(unopened)?;
        // SAFETY: as above.
        let found = unsafe { abi() };
        if found != MLX_ABI {
            return Err(Error::MlxAbi { path: path.to_owned(), found, wanted: MLX_ABI });
        }
        // SAFETY: in this version of the border it returns a table of this layout.
        let table: Symbol<Table> = unsafe { library.get(c"folio_mlx") }.map_err(unopened)?;
        // SAFETY: a static of the library, which is never closed.
        let functions: &'static Functions = unsafe { &*table() };
        // SAFETY: static texts that end with a zero.
        let [built_with, beside] =
            unsafe { [functions.built_with, (functions.version)()] }.map(owned);
        if built_with != MLX_VERSION || beside != MLX_VERSION {
            let path = path.to_owned();
            return Err(Error::MlxVersion { path, built_with, beside, wanted: MLX_VERSION });
        }
        Ok(Self(functions))
    }

    #[cfg(not(unix))]
    fn load(path: &Path) -> Result<Self> {
        let what = "MLX runs on Linux and macOS only".to_owned();
        Err(Error::MlxUnopened { path: path.to_owned(), what })
    }

    /// The functions, for one call or a few that belong together.
    pub(super) fn turn(&self) -> (&'static Functions, MutexGuard<'static, ()>) {
        (self.0, TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a device says of itself: its name and its bytes of memory.
pub(super) type Described = (String, u64);

impl Functions {
    /// Whether there is a GPU that MLX can use.
    pub(super) fn gpu(&self) -> bool {
        // SAFETY: takes nothing and touches nothing of ours.
        unsafe { (self.has_gpu)() != 0 }
    }

    /// Makes the GPU or the CPU the default device and bounds the store of freed buffers; or says
    /// what MLX complained of.
    pub(super) fn start(&self, gpu: bool, cache_limit: u64) -> Result<Described, String> {
        let (mut name, mut memory): ([c_char; 128], u64) = ([0; 128], 0);
        // SAFETY: plain numbers.
        let opened = unsafe { (self.open_device)(i32::from(gpu)) } == 0
            && unsafe { (self.set_cache_limit)(cache_limit) } == 0;
        // SAFETY: room for as many characters as are said, the zero included.
        if opened && unsafe { (self.describe)(name.as_mut_ptr(), name.len(), &raw mut memory) } == 0
        {
            return Ok((owned(name.as_ptr()), memory));
        }
        Err(self.complaint())
    }

    /// What is in use.
    pub(super) fn in_use(&self) -> MlxMemory {
        let mut m = MlxMemory::default();
        // SAFETY: three places for numbers.
        unsafe { (self.memory)(&raw mut m.active, &raw mut m.peak, &raw mut m.cache) };
        m
    }

    /// Gives freed buffers back.
    pub(super) fn give_back(&self) -> c_int {
        // SAFETY: takes nothing.
        unsafe { (self.clear_cache)() }
    }

    /// Sets the peak of memory to nothing.
    pub(super) fn forget_peak(&self) -> c_int {
        // SAFETY: takes nothing.
        unsafe { (self.reset_peak)() }
    }

    /// What the last call of this thread that failed had to say.
    pub(super) fn complaint(&self) -> String {
        // SAFETY: a text of this thread that ends with a zero and lives until its next failure.
        owned(unsafe { (self.message)() })
    }
}

/// Copies a C text.
fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: every text of the shim ends with a zero.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
