package org.megabyte4j.ffi;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/** Why the system's loader does not open a library, in its own words, which Java's lookup leaves out. */
final class LoaderError {
    // Of <dlfcn.h> on Linux and macOS.
    private static final int RTLD_LAZY = 1;

    private LoaderError() {
    }

    /** The reason for a library that could not be opened; empty where the system has no {@code dlerror}. */
    static Optional<String> of(String library) {
        Linker linker = Linker.nativeLinker();
        var open = linker.defaultLookup().find("dlopen");
        var error = linker.defaultLookup().find("dlerror");
        if (open.isEmpty() || error.isEmpty()) {
            return Optional.empty();
        }
        MethodHandle dlopen = linker.downcallHandle(open.get(), FunctionDescriptor.of(ADDRESS, ADDRESS, JAVA_INT));
        MethodHandle dlerror = linker.downcallHandle(error.get(), FunctionDescriptor.of(ADDRESS));
        try (Arena call = Arena.ofConfined()) {
            MemorySegment name = call.allocateFrom(library);
            // The first call links the handle, which may itself ask the loader and so change its last error.
            MemorySegment earlier = (MemorySegment) dlerror.invokeExact();
            MemorySegment opened = (MemorySegment) dlopen.invokeExact(name, RTLD_LAZY);
            MemorySegment text = (MemorySegment) dlerror.invokeExact();
            if (opened.address() != 0 || text.address() == 0) {
                return Optional.empty();
            }
            String words = text.reinterpret(Long.MAX_VALUE).getString(0);
            return Optional.of(words.startsWith(library + ": ") ? words.substring(library.length() + 2) : words);
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }
}
