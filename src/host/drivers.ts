const mounted = [
  "/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json",
  "/usr/local/nvidia/vulkan/icd.d/nvidia_icd.json",
];

/**
 * Containers may have NVIDIA's driver mounted at a place where the Vulkan loader does not look: adds it to the
 * drivers that are found, unless the user named some. Node and Deno only, before Vulkan is opened.
 */
export async function addMountedDrivers(): Promise<void> {
  const { existsSync } = await import("node:fs");
  const { VK_DRIVER_FILES, VK_ICD_FILENAMES, VK_ADD_DRIVER_FILES } = process.env;
  if (VK_DRIVER_FILES || VK_ICD_FILENAMES || VK_ADD_DRIVER_FILES) return;
  const driver = mounted.find((file) => existsSync(file));
  if (driver) process.env.VK_ADD_DRIVER_FILES = driver;
}
