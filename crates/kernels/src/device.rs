//! Where numbers live and who computes on them.

use std::sync::Arc;

use bytes::Bytes;
use half::{bf16, f16};

use crate::cpu::{Cpu, CpuOptions};
use crate::mlx::{Array, Mlx, MlxOptions};
use crate::tensor::Storage;
use crate::{DType, Precision, Result, Tensor};

/// A handle on a backend. Cheap to clone; tensors of different devices never meet in one op.
#[derive(Clone, Debug)]
pub enum Device {
    /// The portable backend: this crate's own kernels on the machine's cores.
    Cpu(Arc<Cpu>),
    /// Apple's MLX: the GPU of a Mac.
    Mlx(Arc<Mlx>),
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

    /// Opens the MLX backend, on the GPU if there is one.
    ///
    /// # Errors
    ///
    /// If the library is missing, of another version or broken, or MLX has no device.
    pub fn mlx(options: &MlxOptions) -> Result<Self> {
        Ok(Self::Mlx(Mlx::open(options)?))
    }

    /// The CPU backend, if this is it.
    pub fn as_cpu(&self) -> Option<&Arc<Cpu>> {
        match self {
            Self::Cpu(cpu) => Some(cpu),
            Self::Mlx(_) => None,
        }
    }

    /// The MLX backend, if this is it.
    pub fn as_mlx(&self) -> Option<&Arc<Mlx>> {
        match self {
            Self::Mlx(mlx) => Some(mlx),
            Self::Cpu(_) => None,
        }
    }

    /// How numbers are computed.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Cpu(cpu) => cpu.precision(),
            Self::Mlx(mlx) => mlx.precision(),
        }
    }

    /// What went wrong on the device since this was last asked, if something did. Operations do
    /// not fail; a device that does gives numbers that are none until its owner has asked.
    pub fn take_failure(&self) -> Option<String> {
        self.as_mlx().and_then(|mlx| mlx.take_failure())
    }

    /// How a cache of keys and values is best stored: as precisely as the device computes, and in
    /// the form that it multiplies fastest.
    pub fn cache_dtype(&self) -> DType {
        match self {
            // MLX converts what differs from the activations, each time.
            Self::Mlx(mlx) if !mlx.is_native() => DType::F32,
            Self::Mlx(_) => DType::F16,
            Self::Cpu(cpu) if cpu.precision() == Precision::Exact => DType::F32,
            Self::Cpu(cpu) if cpu.multiplies_pairs() => DType::BF16,
            Self::Cpu(_) => DType::F16,
        }
    }

    /// A tensor of little-endian elements that lie in memory someone else owns, usually a mapped
    /// file. The CPU reads them where they lie, of no particular alignment; MLX copies them, once.
    ///
    /// # Panics
    ///
    /// If `bytes` is not as long as `shape` and `dtype` say.
    #[track_caller]
    pub fn wrap(&self, shape: &[usize], dtype: DType, bytes: Bytes) -> Tensor {
        let expected = shape.iter().product::<usize>() * dtype.size();
        assert_eq!(bytes.len(), expected, "wrap: bytes of {shape:?} {dtype:?}");
        match self {
            Self::Cpu(cpu) => Tensor::from_parts(shape, dtype, Storage::mapped(cpu, bytes)),
            Self::Mlx(mlx) => {
                Tensor::from_array(shape, Array::from_bytes(mlx, shape, dtype, &bytes))
            }
        }
    }

    /// Whether operations are put off until their results are asked for, so that what follows can be
    /// prepared while a step runs.
    pub fn puts_off(&self) -> bool {
        self.as_mlx().is_some()
    }

    /// Whether [`wrap`](Self::wrap) copies what it is given, so that the memory may be let go.
    pub fn copies(&self) -> bool {
        self.as_mlx().is_some()
    }

    /// A tensor of `f32`, row-major.
    ///
    /// # Panics
    ///
    /// If `data` is not as long as `shape` says.
    #[track_caller]
    pub fn tensor(&self, shape: &[usize], data: Vec<f32>) -> Tensor {
        assert_eq!(data.len(), shape.iter().product::<usize>(), "tensor: elements of {shape:?}");
        match self {
            Self::Cpu(cpu) => Tensor::from_parts(shape, DType::F32, Storage::owned(cpu, data)),
            Self::Mlx(mlx) => {
                let bytes: Vec<[u8; 4]> = data.into_iter().map(f32::to_le_bytes).collect();
                let bytes = bytes.as_flattened();
                Tensor::from_array(shape, Array::from_bytes(mlx, shape, DType::F32, bytes))
            }
        }
    }

    /// A tensor `[n]` of [`DType::U32`].
    pub fn integers(&self, data: &[u32]) -> Tensor {
        let bytes: Vec<[u8; 4]> = data.iter().map(|x| x.to_le_bytes()).collect();
        self.wrap(&[data.len()], DType::U32, bytes.as_flattened().to_vec().into())
    }

    /// Reads little-endian floating-point `bytes` into a tensor of the type of activations: for
    /// what is small and read by elementwise code, such as the weight of a norm. That type is
    /// `f32`, or that of the bytes where activations follow the weights.
    ///
    /// # Panics
    ///
    /// If `dtype` is not a float, or `bytes` has another length than `shape` and `dtype` say.
    #[track_caller]
    pub fn widen(&self, shape: &[usize], dtype: DType, bytes: &[u8]) -> Tensor {
        let expected = shape.iter().product::<usize>() * dtype.size();
        assert_eq!(bytes.len(), expected, "widen: bytes of {shape:?} {dtype:?}");
        match self {
            Self::Mlx(mlx) if mlx.is_native() => {
                Tensor::from_array(shape, Array::from_bytes(mlx, shape, dtype, bytes))
            }
            Self::Cpu(_) | Self::Mlx(_) => self.tensor(shape, to_f32(dtype, bytes)),
        }
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
