package org.megabyte4j.ffi;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.function.Function;
import org.megabyte4j.MegabyteException;

/** An opened native library and its functions. It stays open for the life of the process. */
final class NativeLibrary {
    private final String name;
    private final SymbolLookup symbols;

    private NativeLibrary(String name, SymbolLookup symbols) {
        this.name = name;
        this.symbols = symbols;
    }

    /**
     * Opens the first candidate that loads.
     *
     * @param library    what the library is called in messages
     * @param candidates paths, or names for the system's loader to find
     * @param remedy     what to do where none loads, as the end of a sentence
     * @throws MissingLibraryException listing every candidate with the reason
     */
    static NativeLibrary open(String library, List<String> candidates, String remedy) {
        return open(library, candidates, remedy, opened -> opened);
    }

    /**
     * As {@link #open(String, List, String)}, for the first candidate that also works.
     *
     * @param start makes what the caller needs of an opened library; a {@link MegabyteException} means that this
     *              candidate does not serve, and is its reason
     */
    static <T> T open(String library, List<String> candidates, String remedy, Function<NativeLibrary, T> start) {
        StringBuilder tried = new StringBuilder();
        Throwable last = null;
        for (String candidate : candidates) {
            String reason;
            try {
                return start.apply(new NativeLibrary(candidate,
                        SymbolLookup.libraryLookup(candidate, Arena.global())));
            } catch (IllegalArgumentException e) {
                reason = LoaderError.of(candidate).orElse(e.getMessage());
                last = e;
            } catch (MegabyteException e) {
                reason = e.getMessage();
                last = e;
            }
            tried.append("; ").append(candidate).append(": ").append(reason);
        }
        throw new MissingLibraryException(library + " cannot be loaded" + tried + "; " + remedy, last);
    }

    /** Where the library was found. */
    String name() {
        return name;
    }

    /** @throws MissingLibraryException if the library lacks the function */
    MethodHandle function(String function, FunctionDescriptor signature, Linker.Option... options) {
        var address = symbols.find(function).orElseThrow(() -> new MissingLibraryException(
                name + " has no function " + function + "; it is not the library that was expected", null));
        return Linker.nativeLinker().downcallHandle(address, signature, options);
    }
}
