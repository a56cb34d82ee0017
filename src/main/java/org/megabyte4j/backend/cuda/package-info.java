/** The backend for NVIDIA's GPUs: CUDA's driver API through JCuda, and kernels of our own. */
package org.megabyte4j.backend.cuda;
