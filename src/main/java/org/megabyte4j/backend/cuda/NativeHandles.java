package org.megabyte4j.backend.cuda;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
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

    /** A pointer that can be set to another device address, so that a call needs no new one. */
    static final class MovingPointer extends CUdeviceptr {
        /** JCuda's native code adds it to the address, which stays 0. */
        private static final VarHandle OFFSET = offset();

        private static VarHandle offset() {
            try {
                return MethodHandles.privateLookupIn(Pointer.class, MethodHandles.lookup())
                        .findVarHandle(Pointer.class, "byteOffset", long.class);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException("this is not JCuda 12.6", e);
            }
        }

        MovingPointer at(long address) {
            OFFSET.set((Pointer) this, address);
            return this;
        }
    }

    /** The pointer to a device address that is known as a number. */
    static CUdeviceptr device(long address) {
        return new CUdeviceptr().withByteOffset(address);
    }
}
