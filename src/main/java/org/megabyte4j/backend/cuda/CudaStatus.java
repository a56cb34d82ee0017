package org.megabyte4j.backend.cuda;

import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/** The one check that every call of the driver goes through. */
final class CudaStatus {
    private static final String FAULT = "a kernel touched memory that is not its own or was stopped, and this process"
            + " can no longer use the GPU; start again, from the last checkpoint if there is one, and report this as a"
            + " bug";

    private CudaStatus() {
    }

    /** @throws CudaException unless {@code status} is success */
    static void check(int status, String function) {
        if (status != CUresult.CUDA_SUCCESS) {
            throw failure(status, function);
        }
    }

    static CudaException failure(int status, String function) {
        return new CudaException(function, status, name(status), advice(status));
    }

    /** The code's name in cuda.h. */
    static String name(int status) {
        String[] name = new String[1];
        boolean known = JCudaDriver.cuGetErrorName(status, name) == CUresult.CUDA_SUCCESS && name[0] != null;
        return known ? name[0] : "a code that the driver does not know";
    }

    private static String advice(int status) {
        return switch (status) {
            case CUresult.CUDA_ERROR_OUT_OF_MEMORY -> "the GPU has no memory left; use a smaller --batch or --seq-len,"
                    + " or end what else uses the GPU";
            case CUresult.CUDA_ERROR_ILLEGAL_ADDRESS, CUresult.CUDA_ERROR_LAUNCH_FAILED,
                    CUresult.CUDA_ERROR_MISALIGNED_ADDRESS, CUresult.CUDA_ERROR_ILLEGAL_INSTRUCTION,
                    CUresult.CUDA_ERROR_INVALID_ADDRESS_SPACE, CUresult.CUDA_ERROR_INVALID_PC,
                    CUresult.CUDA_ERROR_ASSERT, CUresult.CUDA_ERROR_HARDWARE_STACK_ERROR,
                    CUresult.CUDA_ERROR_LAUNCH_TIMEOUT -> FAULT;
            case CUresult.CUDA_ERROR_ECC_UNCORRECTABLE -> "the GPU's memory has an error that it cannot correct;"
                    + " see nvidia-smi -q -d ECC";
            default -> "";
        };
    }
}
