package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.List;

/**
 * NVIDIA's driver library: whether it is there at all, and the functions that JCuda 12.6 lacks. Signatures: cuda.h of
 * CUDA 13.0. A function is looked up when it is first called, since older drivers lack some.
 */
public final class CudaDriverLibrary {
    /** Bytes of a {@code CUtensorMap}, and its alignment. */
    public static final long TENSOR_MAP_BYTES = 128;

    private static final int SUCCESS = 0;
    private static final int INVALID_VALUE = 1;
    private static final int INVALID_CLUSTER_SIZE = 912;

    private final NativeLibrary library;
    private MethodHandle errorName;
    private MethodHandle parameterInfo;
    private MethodHandle launch;
    private MethodHandle launchWithAttributes;
    private MethodHandle activeClusters;
    private MethodHandle encodeTiled;

    private CudaDriverLibrary(NativeLibrary library) {
        this.library = library;
    }

    /** @throws MissingLibraryException if this machine has no driver of NVIDIA */
    public static CudaDriverLibrary open() {
        return open(System.getProperty("os.name").startsWith("Windows") ? List.of("nvcuda.dll")
                : List.of("libcuda.so.1"));
    }

    /** For tests: other names. */
    static CudaDriverLibrary open(List<String> names) {
        return new CudaDriverLibrary(NativeLibrary.open("NVIDIA's driver", names,
                "install the driver of your GPU from nvidia.com or your Linux distribution, or use --device cpu"));
    }

    /** Where the library was found. */
    public String name() {
        return library.name();
    }

    /**
     * {@code cuFuncGetParamInfo}: the size of a kernel's parameter.
     *
     * @param function a {@code CUfunction}
     * @return bytes; 0 if the kernel has no such parameter, -1 if the driver is older than CUDA 12.4 and cannot say
     */
    public long parameterBytes(long function, int index) {
        try (Arena call = Arena.ofConfined()) {
            if (parameterInfo == null) {
                parameterInfo = library.function("cuFuncGetParamInfo",
                        FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, ADDRESS, ADDRESS));
            }
            MemorySegment offset = call.allocate(JAVA_LONG);
            MemorySegment size = call.allocate(JAVA_LONG);
            int status = (int) parameterInfo.invokeExact(function, (long) index, offset, size);
            if (status == INVALID_VALUE) {
                return 0;
            }
            check(status, "cuFuncGetParamInfo");
            return size.get(JAVA_LONG, 0);
        } catch (MissingLibraryException e) {
            return -1;
        } catch (Throwable e) {
            throw unexpected("cuFuncGetParamInfo", e);
        }
    }

    /**
     * {@code cuLaunchKernelEx}: a launch with attributes, such as a cluster of blocks.
     *
     * @param function   a {@code CUfunction}
     * @param parameters the addresses of the arguments
     */
    public void launch(CudaLaunchConfig config, long function, MemorySegment parameters) {
        try {
            if (launchWithAttributes == null) {
                launchWithAttributes = library.function("cuLaunchKernelEx",
                        FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS, ADDRESS));
            }
            check((int) launchWithAttributes.invokeExact(config.segment(), function, parameters, MemorySegment.NULL),
                    "cuLaunchKernelEx");
        } catch (Throwable e) {
            throw unexpected("cuLaunchKernelEx", e);
        }
    }

    /**
     * {@code cuOccupancyMaxActiveClusters}: how many clusters of a launch can run at the same time.
     *
     * @param function a {@code CUfunction}
     * @return 0 if there is no room for one, or the GPU or its driver knows no clusters of this size
     */
    public int activeClusters(CudaLaunchConfig config, long function) {
        try (Arena call = Arena.ofConfined()) {
            if (activeClusters == null) {
                activeClusters = library.function("cuOccupancyMaxActiveClusters",
                        FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, ADDRESS));
            }
            MemorySegment count = call.allocate(JAVA_INT);
            int status = (int) activeClusters.invokeExact(count, function, config.segment());
            if (status == INVALID_VALUE || status == INVALID_CLUSTER_SIZE) {
                return 0;
            }
            check(status, "cuOccupancyMaxActiveClusters");
            return count.get(JAVA_INT, 0);
        } catch (MissingLibraryException e) {
            return 0;
        } catch (Throwable e) {
            throw unexpected("cuOccupancyMaxActiveClusters", e);
        }
    }

    /**
     * {@code cuLaunchKernel}. JCuda has it too; this one is for comparing the two.
     *
     * @param function   a {@code CUfunction}
     * @param stream     a {@code CUstream}
     * @param parameters the addresses of the arguments
     */
    public void launch(long function, int gridX, int gridY, int gridZ, int blockX, int blockY, int blockZ,
            int sharedBytes, long stream, MemorySegment parameters) {
        try {
            if (launch == null) {
                launch = library.function("cuLaunchKernel", FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_INT,
                        JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS));
            }
            check((int) launch.invokeExact(function, gridX, gridY, gridZ, blockX, blockY, blockZ, sharedBytes, stream,
                    parameters, MemorySegment.NULL), "cuLaunchKernel");
        } catch (Throwable e) {
            throw unexpected("cuLaunchKernel", e);
        }
    }

    /**
     * {@code cuTensorMapEncodeTiled}: how the tensor memory accelerator of compute capability 9.0 walks a tensor.
     * Nothing is interleaved, elements follow each other, and what lies outside reads as zero.
     *
     * @param map       gets the descriptor, {@link #TENSOR_MAP_BYTES}, aligned to as many
     * @param dataType  {@code CU_TENSOR_MAP_DATA_TYPE_*}
     * @param address   of the tensor on the device, a multiple of 16
     * @param sizes     elements by axis, the innermost first
     * @param strides   bytes from one to the next by axis, without the innermost; multiples of 16
     * @param box       elements by axis that one copy takes
     * @param swizzle   {@code CU_TENSOR_MAP_SWIZZLE_*}
     * @param promotion {@code CU_TENSOR_MAP_L2_PROMOTION_*}
     */
    public void encodeTiled(MemorySegment map, int dataType, long address, long[] sizes, long[] strides, int[] box,
            int swizzle, int promotion) {
        try (Arena call = Arena.ofConfined()) {
            if (encodeTiled == null) {
                encodeTiled = library.function("cuTensorMapEncodeTiled", FunctionDescriptor.of(JAVA_INT, ADDRESS,
                        JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS, ADDRESS, ADDRESS, ADDRESS, JAVA_INT, JAVA_INT, JAVA_INT,
                        JAVA_INT));
            }
            MemorySegment ones = call.allocate(JAVA_INT, sizes.length);
            for (int axis = 0; axis < sizes.length; axis++) {
                ones.setAtIndex(JAVA_INT, axis, 1);
            }
            check((int) encodeTiled.invokeExact(map, dataType, sizes.length, address,
                    call.allocateFrom(JAVA_LONG, sizes), call.allocateFrom(JAVA_LONG, strides),
                    call.allocateFrom(JAVA_INT, box), ones, 0, swizzle, promotion, 0), "cuTensorMapEncodeTiled");
        } catch (Throwable e) {
            throw unexpected("cuTensorMapEncodeTiled", e);
        }
    }

    private void check(int status, String function) throws Throwable {
        if (status != SUCCESS) {
            throw new CudaDriverException(function, status, errorName(status));
        }
    }

    private String errorName(int status) throws Throwable {
        if (errorName == null) {
            errorName = library.function("cuGetErrorName", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS));
        }
        try (Arena call = Arena.ofConfined()) {
            MemorySegment text = call.allocate(ADDRESS);
            int known = (int) errorName.invokeExact(status, text);
            return known == SUCCESS ? text.get(ADDRESS, 0).reinterpret(256).getString(0)
                    : "a code that the driver does not know";
        }
    }

    private static RuntimeException unexpected(String function, Throwable e) {
        if (e instanceof Error error) {
            throw error;
        }
        return e instanceof RuntimeException runtime ? runtime : new IllegalStateException(function, e);
    }
}
