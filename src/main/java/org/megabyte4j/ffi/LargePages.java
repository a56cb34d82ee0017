package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Memory that Linux backs with pages of 2 MiB where it can: products of matrices that lie in pages of 4 KiB spend much
 * of their time on finding these. Other systems have no such request, and get ordinary memory.
 */
public final class LargePages {
    /** The size of a large page. */
    public static final long SIZE = 2L << 20;

    // Of <sys/mman.h> of Linux on x86-64 and AArch64.
    private static final int READ_WRITE = 1 | 2;
    private static final int PRIVATE_ANONYMOUS = 2 | 0x20;
    private static final int HUGE_PAGE = 14;
    private static final long FAILED = -1;

    private static final boolean LINUX = System.getProperty("os.name").equals("Linux");

    private LargePages() {
    }

    /**
     * Takes zeroed memory.
     *
     * @param bytes more than 0
     * @param arena frees the memory when it is closed
     * @return aligned to a large page, or to one of 4 KiB on systems other than Linux
     * @throws OutOfMemoryError if the system has no more
     */
    public static MemorySegment allocate(long bytes, Arena arena) {
        if (!LINUX) {
            return arena.allocate(bytes, 4096);
        }
        long mapped = Math.addExact(bytes, SIZE);
        try {
            MemorySegment base = (MemorySegment) Functions.MMAP.invokeExact(MemorySegment.NULL, mapped, READ_WRITE,
                    PRIVATE_ANONYMOUS, -1, 0L);
            if (base.address() == FAILED) {
                throw new OutOfMemoryError("the system gives no " + bytes + " bytes");
            }
            MemorySegment aligned = MemorySegment.ofAddress(base.address() + SIZE - 1 & -SIZE);
            // A refusal is no failure: the memory works with small pages too.
            int ignored = (int) Functions.MADVISE.invokeExact(aligned, bytes, HUGE_PAGE);
            return aligned.reinterpret(bytes, arena, segment -> unmap(base, mapped));
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private static void unmap(MemorySegment base, long bytes) {
        try {
            int status = (int) Functions.MUNMAP.invokeExact(base, bytes);
            if (status != 0) {
                throw new IllegalStateException("munmap of " + bytes + " bytes failed");
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    /** Of the C library; loaded on Linux only. */
    private static final class Functions {
        private static final MethodHandle MMAP = function("mmap", FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_LONG,
                JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
        private static final MethodHandle MADVISE = function("madvise", FunctionDescriptor.of(JAVA_INT, ADDRESS,
                JAVA_LONG, JAVA_INT));
        private static final MethodHandle MUNMAP = function("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS,
                JAVA_LONG));

        private static MethodHandle function(String name, FunctionDescriptor signature) {
            Linker linker = Linker.nativeLinker();
            return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), signature);
        }
    }
}
