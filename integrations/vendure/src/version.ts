/** That of package.json, which the built files do not reach wherever they are put. */
export const VERSION = '1.0.0';
