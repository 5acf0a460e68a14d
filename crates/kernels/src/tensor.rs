//! A dense, row-major array on a device.

use std::sync::Arc;

use bytes::Bytes;

use crate::cpu::{Buffer, Cpu};
use crate::device::to_f32;
use crate::mlx::{Array, Mlx};
use crate::ops::LaidOut;
use crate::{DType, Device};

/// A shape, an element type and storage on a device. Immutable, and cheap to clone.
#[derive(Clone, Debug)]
pub struct Tensor {
    shape: Box<[usize]>,
    dtype: DType,
    storage: Storage,
    /// The same numbers as another layout has them, or will have them.
    laid_out: Option<Arc<LaidOut>>,
}

/// Where the elements are.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    /// Activations: `f32` in memory of ours, recycled when the last tensor over it is dropped.
    Owned(Arc<Buffer>),
    /// Weights: little-endian bytes in memory that someone else owns, of no particular alignment.
    Mapped(Arc<Cpu>, Bytes),
    /// Weights and activations of any type, on MLX.
    Mlx(Arc<Array>),
}

/// Who computes with a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backend<'a> {
    Cpu,
    Mlx(&'a Arc<Mlx>),
}

impl Storage {
    pub(crate) fn owned(cpu: &Arc<Cpu>, data: Vec<f32>) -> Self {
        Self::Owned(Arc::new(Buffer::adopt(cpu, data)))
    }

    pub(crate) fn mapped(cpu: &Arc<Cpu>, bytes: Bytes) -> Self {
        Self::Mapped(Arc::clone(cpu), bytes)
    }
}

impl Tensor {
    pub(crate) fn from_parts(shape: &[usize], dtype: DType, storage: Storage) -> Self {
        Self { shape: shape.into(), dtype, storage, laid_out: None }
    }

    /// A tensor over a buffer that a kernel has filled.
    #[track_caller]
    pub(crate) fn from_buffer(shape: &[usize], buffer: Buffer) -> Self {
        assert_eq!(shape.iter().product::<usize>(), buffer.len(), "elements of {shape:?}");
        Self::from_parts(shape, DType::F32, Storage::Owned(Arc::new(buffer)))
    }

    /// A tensor over an array of MLX, which has this shape.
    pub(crate) fn from_array(shape: &[usize], array: Array) -> Self {
        Self::from_parts(shape, array.dtype(), Storage::Mlx(Arc::new(array)))
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The device the elements are on.
    pub fn device(&self) -> Device {
        match self.backend() {
            Backend::Cpu => Device::Cpu(Arc::clone(self.cpu())),
            Backend::Mlx(mlx) => Device::Mlx(Arc::clone(mlx)),
        }
    }

    /// How many elements there are.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The extent of the last axis; 1 for a scalar.
    pub fn width(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// How many rows of [`width`](Self::width) elements there are.
    pub fn rows(&self) -> usize {
        self.elements().checked_div(self.width()).unwrap_or(0)
    }

    /// The same elements under another shape.
    ///
    /// # Panics
    ///
    /// If the shapes do not hold equally many elements.
    #[track_caller]
    #[must_use]
    pub fn reshape(&self, shape: &[usize]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), self.elements(), "reshape to {shape:?}");
        let storage = match &self.storage {
            Storage::Mlx(array) => Storage::Mlx(Arc::new(array.reshape(shape))),
            Storage::Owned(_) | Storage::Mapped(..) => self.storage.clone(),
        };
        Self::from_parts(shape, self.dtype, storage)
    }

    /// The other layout of packed codes, if they have or will have one.
    pub(crate) fn laid_out(&self) -> Option<&LaidOut> {
        self.laid_out.as_deref()
    }

    pub(crate) fn lay_out(&mut self, laid_out: LaidOut) {
        self.laid_out = Some(Arc::new(laid_out));
    }

    /// The elements, copied to the host; waits for the device.
    ///
    /// # Panics
    ///
    /// If the elements are not floats.
    #[track_caller]
    pub fn to_vec(&self) -> Vec<f32> {
        match &self.storage {
            Storage::Owned(buffer) => buffer.to_vec(),
            Storage::Mapped(_, bytes) => to_f32(self.dtype, bytes),
            Storage::Mlx(array) => {
                assert!(self.dtype.is_float(), "{:?} is not a floating-point type", self.dtype);
                array.to_f32(self.elements())
            }
        }
    }

    /// The elements of a tensor of [`DType::U32`], copied to the host; waits for the device.
    /// [`u32::MAX`] if the device failed.
    ///
    /// # Panics
    ///
    /// If the elements are of another type.
    #[track_caller]
    pub fn to_u32(&self) -> Vec<u32> {
        assert_eq!(self.dtype, DType::U32, "elements that are no integers");
        match &self.storage {
            Storage::Mapped(_, bytes) => {
                bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
            }
            Storage::Mlx(array) => match array.read(DType::U32, self.elements()) {
                Some(elements) => elements.into_iter().map(u32::from_ne_bytes).collect(),
                None => vec![u32::MAX; self.elements()],
            },
            Storage::Owned(_) => unreachable!("memory of our own holds `f32`"),
        }
    }

    /// The elements of an activation on the CPU.
    ///
    /// # Panics
    ///
    /// If the tensor is a mapped weight.
    #[track_caller]
    pub(crate) fn data(&self) -> &[f32] {
        match &self.storage {
            Storage::Owned(buffer) => buffer,
            Storage::Mapped(..) => panic!("a mapped {:?} tensor is not an activation", self.dtype),
            Storage::Mlx(_) => panic!("a tensor on MLX in a kernel of the CPU"),
        }
    }

    /// The little-endian bytes of a mapped weight on the CPU.
    ///
    /// # Panics
    ///
    /// If the tensor is an activation.
    #[track_caller]
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Mapped(_, bytes) => bytes,
            Storage::Owned(_) => panic!("an activation is not a mapped weight"),
            Storage::Mlx(_) => panic!("a tensor on MLX in a kernel of the CPU"),
        }
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    #[track_caller]
    pub(crate) fn cpu(&self) -> &Arc<Cpu> {
        match &self.storage {
            Storage::Owned(buffer) => buffer.cpu(),
            Storage::Mapped(cpu, _) => cpu,
            Storage::Mlx(_) => panic!("a tensor on MLX in a kernel of the CPU"),
        }
    }

    /// The array of a tensor on MLX.
    ///
    /// # Panics
    ///
    /// If the tensor is on another device.
    #[track_caller]
    pub(crate) fn array(&self) -> &Array {
        match &self.storage {
            Storage::Mlx(array) => array,
            Storage::Owned(_) | Storage::Mapped(..) => panic!("a tensor of the CPU on MLX"),
        }
    }

    /// Who computes with it: what an operation asks of its first operand.
    pub(crate) fn backend(&self) -> Backend<'_> {
        match &self.storage {
            Storage::Owned(_) | Storage::Mapped(..) => Backend::Cpu,
            Storage::Mlx(array) => Backend::Mlx(array.mlx()),
        }
    }
}
