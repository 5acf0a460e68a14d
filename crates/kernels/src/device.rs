//! Where numbers live and who computes on them.

use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};

use crate::cpu::{Cpu, CpuOptions};
use crate::tensor::Storage;
use crate::{DType, Result, Tensor};

/// A handle on a backend. Cheap to clone; tensors of different devices never meet in one op.
#[derive(Clone, Debug)]
pub enum Device {
    /// The portable backend: this crate's own kernels on the machine's cores.
    Cpu(Arc<Cpu>),
}

impl Device {
    /// Opens the CPU backend.
    ///
    /// # Errors
    ///
    /// If the machine lacks the instruction set or the threads that `options` ask for.
    pub fn cpu(options: CpuOptions) -> Result<Self> {
        Ok(Self::Cpu(Cpu::open(options)?))
    }

    /// Wraps little-endian elements that lie in memory someone else owns, usually a mapped file.
    /// Nothing is copied and no alignment is assumed.
    ///
    /// # Panics
    ///
    /// If `bytes` is not as long as `shape` and `dtype` say.
    #[track_caller]
    pub fn wrap(&self, shape: &[usize], dtype: DType, bytes: Bytes) -> Tensor {
        let expected = shape.iter().product::<usize>() * dtype.size();
        assert_eq!(bytes.len(), expected, "wrap: bytes of {shape:?} {dtype:?}");
        let Self::Cpu(cpu) = self;
        Tensor::from_parts(shape, dtype, Storage::mapped(cpu, bytes))
    }

    /// A tensor of `f32`, row-major.
    ///
    /// # Panics
    ///
    /// If `data` is not as long as `shape` says.
    #[track_caller]
    pub fn tensor(&self, shape: &[usize], data: Vec<f32>) -> Tensor {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "tensor: elements of {shape:?}");
        let Self::Cpu(cpu) = self;
        Tensor::from_parts(shape, DType::F32, Storage::owned(cpu, data))
    }

    /// Reads little-endian floating-point `bytes` into a tensor of `f32`: for what is small and
    /// read by elementwise code, such as the weight of a norm.
    ///
    /// # Panics
    ///
    /// If `dtype` is not a float, or `bytes` has another length than `shape` and `dtype` say.
    #[track_caller]
    pub fn widen(&self, shape: &[usize], dtype: DType, bytes: &[u8]) -> Tensor {
        let expected = shape.iter().product::<usize>() * dtype.size();
        assert_eq!(bytes.len(), expected, "widen: bytes of {shape:?} {dtype:?}");
        self.tensor(shape, to_f32(dtype, bytes))
    }
}

/// Little-endian floats of any width as `f32`.
#[track_caller]
pub(crate) fn to_f32(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    match dtype {
        DType::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        DType::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        DType::BF16 => {
            bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect()
        }
        DType::U8 | DType::U32 => panic!("{dtype:?} is not a floating-point type"),
    }
}
