package org.megabyte4j.generate;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import org.megabyte4j.backend.Backend;

/** A backend that says that it works on its own, so that it gets a patch at once. */
final class WorkingAhead {
    private WorkingAhead() {
    }

    static Backend of(Backend backend) {
        return (Backend) Proxy.newProxyInstance(Backend.class.getClassLoader(), new Class<?>[] {Backend.class},
                (proxy, method, arguments) -> {
                    if (method.getName().equals("isAsynchronous")) {
                        return true;
                    }
                    try {
                        return method.invoke(backend, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }
}
