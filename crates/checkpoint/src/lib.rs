//! Bytes on disk, made into names, shapes and numbers.
