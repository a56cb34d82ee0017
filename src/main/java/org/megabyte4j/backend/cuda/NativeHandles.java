package org.megabyte4j.backend.cuda;

import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUstream;

/** JCuda's handles with the addresses inside them, which JCuda itself keeps to its subclasses. */
final class NativeHandles {
    private NativeHandles() {
    }

    /** A device address that a call of the driver fills in. */
    static final class DevicePointer extends CUdeviceptr {
        long address() {
            return getNativePointer() + getByteOffset();
        }
    }

    /** A stream that a call of the driver fills in. */
    static final class Stream extends CUstream {
        long address() {
            return getNativePointer();
        }
    }

    /** A kernel that a call of the driver fills in. */
    static final class Function extends CUfunction {
        long address() {
            return getNativePointer();
        }
    }

    /** Host memory by its address. */
    static final class HostPointer extends Pointer {
        HostPointer(long address) {
            super(address);
        }

        HostPointer() {
        }

        long address() {
            return getNativePointer() + getByteOffset();
        }
    }

    /** The pointer to a device address that is known as a number. */
    static CUdeviceptr device(long address) {
        return new CUdeviceptr().withByteOffset(address);
    }
}
