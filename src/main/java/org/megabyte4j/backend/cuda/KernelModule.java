package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.zip.CRC32C;
import jcuda.Pointer;
import jcuda.driver.CUjit_option;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import jcuda.driver.JITOptions;
import org.megabyte4j.ffi.CudaDriverLibrary;

/** The compiled form of one file of kernels, as the driver has loaded it; unloaded with the context. */
final class KernelModule {
    private static final int LOG_BYTES = 8192;

    private final CudaContext context;
    private final String file;
    private final CUmodule module = new CUmodule();
    private final String version;

    KernelModule(CudaContext context, String file) {
        context.use();
        this.context = context;
        this.file = file;
        Ptx ptx = Ptx.find(file, context.device());
        CRC32C checksum = new CRC32C();
        checksum.update(ptx.text());
        version = String.format("%08x", checksum.getValue());
        load(ptx);
        context.hold(() -> check(JCudaDriver.cuModuleUnload(module), "cuModuleUnload"));
    }

    private void load(Ptx ptx) {
        JITOptions options = new JITOptions();
        options.putBytes(CUjit_option.CU_JIT_ERROR_LOG_BUFFER, new byte[LOG_BYTES]);
        options.putInt(CUjit_option.CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, LOG_BYTES);
        ByteBuffer image = ByteBuffer.allocateDirect(ptx.text().length + 1);
        image.put(ptx.text()).put((byte) 0).flip();
        int status = JCudaDriver.cuModuleLoadDataJIT(module, Pointer.to(image), options);
        if (status == CUresult.CUDA_ERROR_UNSUPPORTED_PTX_VERSION) {
            throw new CudaUnavailableException("NVIDIA's driver is too old: it knows CUDA "
                    + CudaDriver.written(context.driver().version()) + ", and the kernels of this build are PTX "
                    + ptx.version() + ", which needs CUDA " + ptx.leastCuda()
                    + "; update the driver, or use --device cpu");
        }
        if (status != CUresult.CUDA_SUCCESS) {
            String log = options.getString(CUjit_option.CU_JIT_ERROR_LOG_BUFFER);
            throw new CudaException("cuModuleLoadDataEx of " + file, status, CudaStatus.name(status),
                    log == null ? "" : log.strip());
        }
    }

    /**
     * An entry point.
     *
     * @param name  as in the file
     * @param types of its parameters, in order
     * @throws CudaException if the file has no such entry point
     */
    Kernel kernel(String name, KernelType... types) {
        NativeHandles.Function function = new NativeHandles.Function();
        find(name, function);
        requireSame(name, function, types);
        return new Kernel(context, name, function, types);
    }

    /** Fills in the handle of an entry point. */
    void find(String name, NativeHandles.Function function) {
        context.use();
        int status = JCudaDriver.cuModuleGetFunction(function, module, name);
        if (status != CUresult.CUDA_SUCCESS) {
            throw new CudaException("cuModuleGetFunction", status, CudaStatus.name(status),
                    "kernels/" + file + ".cu has no entry point " + name);
        }
    }

    /** File and version, which changes with the compiled kernels: what was measured of others does not hold for them. */
    @Override
    public String toString() {
        return file + "@" + version;
    }

    /** What is described here and what was compiled may have drifted apart; drivers from CUDA 12.4 on can tell. */
    private void requireSame(String name, NativeHandles.Function function, KernelType... types) {
        CudaDriverLibrary library = context.driver().library();
        for (int i = 0; i <= types.length; i++) {
            long bytes = library.parameterBytes(function.address(), i);
            long described = i < types.length ? types[i].bytes() : 0;
            if (bytes >= 0 && bytes != described) {
                throw new IllegalStateException("kernel " + name + ": parameter " + (i + 1)
                        + " of the compiled kernel has " + bytes + " bytes, but it is described as "
                        + Arrays.toString(types));
            }
        }
    }
}
