package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.CudaStatus.check;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;
import org.megabyte4j.ffi.CudaDriverLibrary;
import org.megabyte4j.ffi.MissingLibraryException;

/** NVIDIA's driver in this process, initialised once: its version and its GPUs. */
final class CudaDriver {
    private static CudaDriver opened;

    private final CudaDriverLibrary library;
    private final int version;
    private final List<CudaDevice> devices;

    private CudaDriver(CudaDriverLibrary library, int version, List<CudaDevice> devices) {
        this.library = library;
        this.version = version;
        this.devices = devices;
    }

    /** @throws CudaUnavailableException if there is no driver, or none that works */
    static synchronized CudaDriver open() {
        if (opened == null) {
            opened = load();
        }
        return opened;
    }

    static synchronized boolean isOpen() {
        return opened != null;
    }

    /** As {@link #open()}, asking the driver anew: the simulated one can change. */
    static CudaDriver load() {
        CudaDriverLibrary library;
        try {
            // Looked for before JCuda, whose classes would be broken for good where the driver is missing.
            library = CudaDriverLibrary.open();
        } catch (MissingLibraryException e) {
            throw new CudaUnavailableException(e.getMessage(), e);
        }
        int status;
        try {
            JCudaDriver.setExceptionsEnabled(false);
            status = JCudaDriver.cuInit(0);
        } catch (UnsatisfiedLinkError | NoClassDefFoundError e) {
            throw new CudaUnavailableException("JCuda's native library does not load on "
                    + System.getProperty("os.name") + " " + System.getProperty("os.arch") + ": " + firstLine(e)
                    + "; it is made for Linux and Windows on x86-64, use --device cpu elsewhere", e);
        }
        if (status == CUresult.CUDA_ERROR_NO_DEVICE) {
            return new CudaDriver(library, driverVersion(), List.of());
        }
        if (status != CUresult.CUDA_SUCCESS) {
            throw new CudaUnavailableException("NVIDIA's driver does not start: "
                    + CudaStatus.failure(status, "cuInit").getMessage() + "; see what nvidia-smi says", null);
        }
        return new CudaDriver(library, driverVersion(), findDevices());
    }

    private static String firstLine(Throwable e) {
        return String.valueOf(e.getMessage()).lines().findFirst().orElse("");
    }

    private static int driverVersion() {
        int[] version = new int[1];
        check(JCudaDriver.cuDriverGetVersion(version), "cuDriverGetVersion");
        return version[0];
    }

    private static List<CudaDevice> findDevices() {
        int[] count = new int[1];
        check(JCudaDriver.cuDeviceGetCount(count), "cuDeviceGetCount");
        List<CudaDevice> found = new ArrayList<>();
        for (int ordinal = 0; ordinal < count[0]; ordinal++) {
            found.add(describe(ordinal));
        }
        return List.copyOf(found);
    }

    private static CudaDevice describe(int ordinal) {
        CUdevice device = handle(ordinal);
        byte[] name = new byte[256];
        check(JCudaDriver.cuDeviceGetName(name, name.length, device), "cuDeviceGetName");
        int end = 0;
        while (end < name.length && name[end] != 0) {
            end++;
        }
        long[] memory = new long[1];
        check(JCudaDriver.cuDeviceTotalMem(memory, device), "cuDeviceTotalMem");
        return new CudaDevice(ordinal, new String(name, 0, end, StandardCharsets.UTF_8),
                attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR), memory[0],
                attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
                attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN));
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        check(JCudaDriver.cuDeviceGetAttribute(value, attribute, device), "cuDeviceGetAttribute");
        return value[0];
    }

    static CUdevice handle(int ordinal) {
        CUdevice device = new CUdevice();
        check(JCudaDriver.cuDeviceGet(device, ordinal), "cuDeviceGet");
        return device;
    }

    /** The library itself, for what JCuda lacks. */
    CudaDriverLibrary library() {
        return library;
    }

    /** The newest CUDA that the driver knows: {@code 1000 * major + 10 * minor}. */
    int version() {
        return version;
    }

    /** The version as people write it, such as {@code 12.4}. */
    static String written(int version) {
        return version / 1000 + "." + version % 1000 / 10;
    }

    List<CudaDevice> devices() {
        return devices;
    }

    /** The number of the first GPU that is not too old; of the first if all are. */
    int firstUsable() {
        return devices.stream().filter(device -> device.major() >= CudaDevice.LEAST_MAJOR).findFirst()
                .map(CudaDevice::ordinal).orElse(0);
    }

    /** @throws CudaUnavailableException if there is no such GPU, or it is too old for the kernels */
    CudaDevice device(int ordinal) {
        if (devices.isEmpty()) {
            throw new CudaUnavailableException("NVIDIA's driver is there, but it finds no GPU; see what nvidia-smi"
                    + " says, and whether CUDA_VISIBLE_DEVICES hides it, or use --device cpu");
        }
        if (ordinal < 0 || ordinal >= devices.size()) {
            throw new CudaUnavailableException("there is no GPU with number " + ordinal + "; " + (devices.size() == 1
                    ? "the only one is cuda:0" : "they are cuda:0 to cuda:" + (devices.size() - 1)));
        }
        CudaDevice device = devices.get(ordinal);
        if (device.major() < CudaDevice.LEAST_MAJOR) {
            throw new CudaUnavailableException("the GPU cuda:" + ordinal + ", " + device.name()
                    + ", has compute capability " + device.capability() + ", but the kernels need 8.0 (Ampere) or"
                    + " newer; use another GPU or --device cpu");
        }
        return device;
    }
}
